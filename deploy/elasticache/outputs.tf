# What the app's settings are made of: docs/deploy.md. These are names of a group that
# is no cluster; they follow the primary. A configuration endpoint (clustercfg) is a
# cluster's, and would go into REDIS_CLUSTER_NODES.

output "redis_url" {
  description = "REDIS_URL, or REDIS_TARGET_URL"
  value       = "rediss://${aws_elasticache_replication_group.redis.primary_endpoint_address}:6379"
}

output "redis_reader_url" {
  description = "REDIS_READER_URL, with REDIS_READ_FROM=replica"
  value       = "rediss://${aws_elasticache_replication_group.redis.reader_endpoint_address}:6379"
}

output "redis_password_secret" {
  description = "The secret that holds REDIS_PASSWORD"
  value       = aws_secretsmanager_secret.redis.arn
}

output "redis_primary_endpoint" {
  value = aws_elasticache_replication_group.redis.primary_endpoint_address
}

output "redis_reader_endpoint" {
  value = aws_elasticache_replication_group.redis.reader_endpoint_address
}

output "redis_port" {
  value = 6379
}

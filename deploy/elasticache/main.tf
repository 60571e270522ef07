# A primary and two replicas in three zones, with failover, TLS, a password in the
# secret store, snapshots, notifications and alarms.
#
# The password is in the state file too, as with every resource that takes one: keep
# the state encrypted, and let few read it.

locals {
  tags = {
    Name        = var.name
    Environment = var.environment
    HA          = "enabled"
  }
}

resource "aws_security_group" "redis" {
  name_prefix = "${var.name}-"
  description = "Redis, from the app alone"
  vpc_id      = var.vpc_id
  tags        = local.tags

  ingress {
    description     = "Redis over TLS"
    from_port       = 6379
    to_port         = 6379
    protocol        = "tcp"
    security_groups = [var.app_security_group_id]
  }

  # ElastiCache calls nobody, so nothing is let out.

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_elasticache_subnet_group" "redis" {
  name       = "${var.name}-subnet-group"
  subnet_ids = var.private_subnet_ids
  tags       = local.tags
}

resource "aws_elasticache_parameter_group" "redis" {
  name   = "${var.name}-redis7"
  family = "redis7"
  tags   = local.tags

  # Sessions, queues and limits are data. The service's default evicts what expires.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  # A primary that has lost both replicas, or was cut off with them on the other side,
  # refuses writes.
  parameter {
    name  = "min-replicas-to-write"
    value = "1"
  }

  parameter {
    name  = "min-replicas-max-lag"
    value = "3"
  }

  # Connections that nobody has used for five minutes.
  parameter {
    name  = "timeout"
    value = "300"
  }

  # appendonly cannot be set: with several zones the replicas stand in for a file.
}

# 64 letters and digits. Base64 holds / + and =, which a token may not.
resource "random_password" "redis" {
  length  = 64
  special = false
}

resource "aws_secretsmanager_secret" "redis" {
  name = "freight/${var.environment}/redis-auth-token"
  tags = local.tags
}

resource "aws_secretsmanager_secret_version" "redis" {
  secret_id     = aws_secretsmanager_secret.redis.id
  secret_string = random_password.redis.result
}

resource "aws_elasticache_replication_group" "redis" {
  replication_group_id = var.name
  description          = "Redis of the freight app"
  tags                 = local.tags

  engine         = "redis"
  engine_version = "7.0"
  node_type      = var.redis_node_type
  port           = 6379

  num_cache_clusters         = 3
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name    = aws_elasticache_subnet_group.redis.name
  security_group_ids   = [aws_security_group.redis.id]
  parameter_group_name = aws_elasticache_parameter_group.redis.name

  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  auth_token                 = random_password.redis.result

  maintenance_window         = "sun:05:00-sun:06:00"
  snapshot_window            = "03:00-04:00"
  snapshot_retention_limit   = 7
  final_snapshot_identifier  = "${var.name}-last"
  auto_minor_version_upgrade = true
  notification_topic_arn     = aws_sns_topic.redis.arn

  lifecycle {
    # Minor versions are the service's to choose; the data are not Terraform's to drop.
    ignore_changes  = [engine_version]
    prevent_destroy = true
  }
}

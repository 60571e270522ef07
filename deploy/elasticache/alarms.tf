# What the service says (failovers, maintenance, snapshots) and what it measures.

resource "aws_sns_topic" "redis" {
  name = "${var.name}-events"
  tags = local.tags
}

resource "aws_sns_topic_subscription" "mail" {
  for_each  = toset(var.alarm_emails)
  topic_arn = aws_sns_topic.redis.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  nodes = [for i in range(3) : format("%s-%03d", var.name, i + 1)]

  # The server's own thread is one core; replicas lag by 1 s at most; with noeviction a
  # full node refuses writes.
  alarms = {
    memory    = { metric = "DatabaseMemoryUsagePercentage", above = 80, minutes = 10 }
    processor = { metric = "EngineCPUUtilization", above = 80, minutes = 10 }
    lag       = { metric = "ReplicationLag", above = 1, minutes = 2 }
    evictions = { metric = "Evictions", above = 0, minutes = 1 }
  }

  watched = merge([for node in local.nodes : {
    for name, alarm in local.alarms : "${node}-${name}" => merge(alarm, { node = node })
  }]...)
}

resource "aws_cloudwatch_metric_alarm" "redis" {
  for_each            = local.watched
  alarm_name          = each.key
  namespace           = "AWS/ElastiCache"
  metric_name         = each.value.metric
  dimensions          = { CacheClusterId = each.value.node }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.minutes
  alarm_actions       = [aws_sns_topic.redis.arn]
  ok_actions          = [aws_sns_topic.redis.arn]
  tags                = local.tags
}

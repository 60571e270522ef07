variable "name" {
  description = "Begins the names of everything that is made here."
  type        = string
  default     = "freight-redis"
}

variable "environment" {
  description = "For tags, and for the name of the secret."
  type        = string
}

variable "vpc_id" {
  type = string
}

variable "private_subnet_ids" {
  description = "Subnets of at least two availability zones, better three."
  type        = list(string)

  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "A failover needs subnets of two availability zones."
  }
}

variable "app_security_group_id" {
  description = "Who may reach Redis: members of this group, and nobody else."
  type        = string
}

variable "redis_node_type" {
  description = "cache.t4g.medium (3.09 GiB) for 10,000 users a day, cache.r6g.large (13.07 GiB) for more. There is no cache.r6g.medium."
  type        = string
  default     = "cache.t4g.medium"
}

variable "alarm_emails" {
  description = "Who is told of failovers, maintenance and alarms. Each has to confirm a mail."
  type        = list(string)
  default     = []
}

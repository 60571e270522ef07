// Package check holds no code but tests: what is in deploy besides shell and Redis
// settings parses, holds to its schema, and names metrics, users and files that are
// there. It is a module of its own, so that nobody who imports a workload sees what
// Compose, Terraform, Kubernetes and Prometheus need. make deploy-check runs it.
package check

package migrate

import "slices"

// Phase returns how far the migration has come by what this process obeys now:
// off, shadow, cutover, soak or done; or unknown while no record has been read.
// With no target it is off.
func (c *Client) Phase() string {
	if c.m == nil {
		return "off"
	}
	return c.m.view.Load().phase.String()
}

// Share returns how much of a workload the target answers for by what this process
// obeys now: 0 to 1. It is 0 with no target, and of a workload that there is not.
func (c *Client) Share(workload string) float64 {
	if c.m == nil {
		return 0
	}
	return c.m.view.Load().share(slices.Index(c.m.plan.names, workload))
}

package migrate

// Phase returns how far the migration has come by what this process obeys now:
// off, shadow, cutover, soak or done; or unknown while no record has been read.
// With no target it is off.
func (c *Client) Phase() string {
	if c.m == nil {
		return "off"
	}
	return c.m.view.Load().phase.String()
}

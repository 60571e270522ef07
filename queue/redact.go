package queue

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

const (
	// maxText bounds an error's text, in bytes, as logs and Redis get it.
	maxText = 1024

	// minSecret is the length of a value that is taken out of texts. Shorter ones are
	// no secrets, and would make holes in ordinary words.
	minSecret = 4
)

// redact takes the values of a payload out of a text: a provider's error quotes the
// phone number that it was given, and the text goes to logs and dashboards.
func redact(text string, payload []byte) string {
	if values := valuesOf(payload); len(values) > 0 {
		var pairs []string
		for _, v := range values {
			pairs = append(pairs, v, "[redacted]")
		}
		text = strings.NewReplacer(pairs...).Replace(text)
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// valuesOf returns the values in JSON, not the names of fields, longest first. What
// is no JSON is one value.
func valuesOf(payload []byte) []string {
	values := []string{string(payload)}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var v any
	if d.Decode(&v) == nil {
		values = walk(v, values)
	}
	values = slices.DeleteFunc(values, func(s string) bool { return len(s) < minSecret })
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return values
}

func walk(v any, values []string) []string {
	switch v := v.(type) {
	case string:
		values = append(values, v)
	case json.Number:
		values = append(values, v.String())
	case []any:
		for _, e := range v {
			values = walk(e, values)
		}
	case map[string]any:
		for _, e := range v {
			values = walk(e, values)
		}
	}
	return values
}

package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Raw is a payload that is neither encoded nor decoded: for jobs that others
// enqueue, in whatever form.
type Raw []byte

// encode makes a payload.
func encode[T any](v T, most int) (data []byte, err error) {
	if raw, ok := any(v).(Raw); ok {
		data = append([]byte{}, raw...) // never nil, which a database takes for nothing at all
	} else if data, err = json.Marshal(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("%w: %d bytes; MaxPayload is %d: put large things elsewhere and their name into the job", ErrTooLarge, len(data), most)
	}
	return data, nil
}

// decode reads a payload strictly: of the right form, without fields that T does not
// have, and nothing after it.
func decode[T any](data []byte, most int) (v T, err error) {
	if len(data) > most {
		return v, Permanent(fmt.Errorf("%w: %d bytes; MaxPayload is %d", ErrTooLarge, len(data), most))
	}
	if raw, ok := any(&v).(*Raw); ok {
		*raw = data
		return v, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("%w: something follows the JSON", ErrPayload)
	}
	return v, nil
}

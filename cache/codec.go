package cache

import "encoding/json"

// A Codec turns values into bytes and back. It is safe for concurrent use. What
// Decode cannot read is loaded anew.
type Codec[T any] interface {
	// Encode returns the bytes of a value.
	Encode(v T) ([]byte, error)

	// Decode returns the value of bytes, which it must neither change nor keep: they
	// are what memory holds.
	Decode(data []byte) (T, error)
}

// JSON is the Codec of encoding/json.
type JSON[T any] struct{}

// Encode returns v as JSON.
func (JSON[T]) Encode(v T) ([]byte, error) { return json.Marshal(v) }

// Decode reads JSON.
func (JSON[T]) Decode(data []byte) (v T, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}

package command

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// ErrArgs means that a call's arguments do not fit its command, so that its keys
// cannot be told. A server would refuse the call too.
var ErrArgs = errors.New("command: malformed arguments")

// text returns an argument as go-redis writes it to the wire; a value that it
// refuses is an error here too. Strings, which keys nearly always are, cost
// nothing.
func text(arg any) (string, error) {
	switch v := arg.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case nil:
		return "", nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case *time.Time: // before the marshalers, of which it is one
		s, _, err := of(v)
		return s, err
	case time.Duration:
		return strconv.FormatInt(v.Nanoseconds(), 10), nil
	case encoding.BinaryMarshaler:
		return marshal(v)
	case net.IP:
		return string(v), nil
	}
	if s, ok := number(arg); ok {
		return s, nil
	}
	if s, ok, err := pointed(arg); ok {
		return s, err
	}
	return "", fmt.Errorf("%w: %T is no argument for Redis", ErrArgs, arg)
}

// marshal guards against a marshaler that panics on its nil pointer: that is the
// caller's fault, but no reason to end the process before go-redis would.
func marshal(m encoding.BinaryMarshaler) (s string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %T panics: %v", ErrArgs, m, r)
		}
	}()
	b, err := m.MarshalBinary()
	if err != nil {
		return "", fmt.Errorf("%w: %T: %w", ErrArgs, m, err)
	}
	return string(b), nil
}

// number formats Go's basic types other than strings.
func number(arg any) (string, bool) {
	switch v := arg.(type) {
	case int:
		return strconv.Itoa(v), true
	case int8:
		return strconv.FormatInt(int64(v), 10), true
	case int16:
		return strconv.FormatInt(int64(v), 10), true
	case int32:
		return strconv.FormatInt(int64(v), 10), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint:
		return strconv.FormatUint(uint64(v), 10), true
	case uint8:
		return strconv.FormatUint(uint64(v), 10), true
	case uint16:
		return strconv.FormatUint(uint64(v), 10), true
	case uint32:
		return strconv.FormatUint(uint64(v), 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case uintptr:
		return strconv.FormatUint(uint64(v), 10), true
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 64), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	}
	return "", false
}

// pointed formats what a pointer points to; a nil one is the zero value.
func pointed(arg any) (s string, ok bool, err error) {
	switch v := arg.(type) {
	case *string:
		return of(v)
	case *int:
		return of(v)
	case *int8:
		return of(v)
	case *int16:
		return of(v)
	case *int32:
		return of(v)
	case *int64:
		return of(v)
	case *uint:
		return of(v)
	case *uint8:
		return of(v)
	case *uint16:
		return of(v)
	case *uint32:
		return of(v)
	case *uint64:
		return of(v)
	case *uintptr:
		return of(v)
	case *float32:
		return of(v)
	case *float64:
		return of(v)
	case *bool:
		return of(v)
	case *time.Duration:
		return of(v)
	}
	return "", false, nil
}

func of[T any](p *T) (string, bool, error) {
	var v T
	if p != nil {
		v = *p
	}
	s, err := text(v)
	return s, true, err
}

// is reports whether an argument is the given word, which is in lower case. Only
// ASCII letters fold, as in the server: strings.EqualFold would take a Kelvin
// sign for a k.
func is(arg any, word string) bool {
	s, ok := arg.(string)
	if _, isInt := arg.(int); isInt {
		return false // spares formatting what is most often between keywords
	}
	if !ok {
		var err error
		if s, err = text(arg); err != nil {
			return false
		}
	}
	if len(s) != len(word) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != word[i] {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// integer reads an argument as strictly as the server reads a count: no sign but
// a minus, no leading zeros, no space.
func integer(arg any) (int64, bool) {
	if v, ok := arg.(int); ok {
		return int64(v), true
	}
	s, err := text(arg)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && (len(s) == 1 || s[0] != '+' && s[0] != '0' && s[:2] != "-0")
}

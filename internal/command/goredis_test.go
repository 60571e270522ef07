package command_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/redistest"
)

// sent is a hook that records commands instead of sending them.
type sent struct{ args [][]any }

var errNotSent = errors.New("not sent")

func (s *sent) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errNotSent }
}

func (s *sent) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		s.args = append(s.args, cmd.Args())
		return errNotSent
	}
}

func (s *sent) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return errNotSent }
}

// TestGoRedisSendsNothingUnknown calls every method of go-redis's Cmdable with
// made-up arguments and looks up what it would send.
func TestGoRedisSendsNothingUnknown(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Protocol: 2, PipelinePoolSize: -1, MaxRetries: -1, DisableIdentity: true})
	defer c.Close()
	rec := &sent{}
	c.AddHook(rec)
	face := reflect.TypeFor[redis.Cmdable]()
	silent := 0
	for i := range face.NumMethod() {
		m := face.Method(i)
		if strings.Contains(m.Name, "ipeline") {
			continue
		}
		rec.args = nil
		for _, many := range []int{2, 0, 1} { // of a variadic argument; some methods take at most one
			if len(rec.args) == 0 {
				call(t, reflect.ValueOf(c).MethodByName(m.Name), many)
			}
		}
		if len(rec.args) == 0 {
			silent++
			t.Logf("%s sends nothing with made-up arguments", m.Name)
		}
		for _, args := range rec.args {
			if _, ok := command.Lookup(args); !ok {
				t.Errorf("%s sends %v, which is not in the table", m.Name, args)
			}
		}
	}
	if all := face.NumMethod(); all < 600 || silent > 20 {
		t.Errorf("%d of %d methods sent nothing; want at most 20 of some 600", silent, all)
	}
}

// call calls a method with made-up arguments. Some panic on them; what they have
// sent until then counts.
func call(t *testing.T, m reflect.Value, many int) {
	t.Helper()
	defer func() { _ = recover() }()
	var in []reflect.Value
	for i := range m.Type().NumIn() {
		typ := m.Type().In(i)
		if m.Type().IsVariadic() && i == m.Type().NumIn()-1 {
			for range many {
				in = append(in, madeUp(t, typ.Elem(), 3))
			}
			break
		}
		in = append(in, madeUp(t, typ, 3))
	}
	m.Call(in)
}

// madeUp returns a value of a type, with fields filled a few levels down.
func madeUp(t *testing.T, typ reflect.Type, depth int) reflect.Value {
	t.Helper()
	if typ == reflect.TypeFor[context.Context]() {
		return reflect.ValueOf(t.Context())
	}
	if typ == reflect.TypeFor[time.Duration]() {
		return reflect.ValueOf(2 * time.Second)
	}
	if typ == reflect.TypeFor[redis.Vector]() {
		return reflect.ValueOf(&redis.VectorRef{Name: "7"})
	}
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.String:
		v.SetString("7")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	case reflect.Interface:
		if typ.NumMethod() == 0 {
			v.Set(reflect.ValueOf("7"))
		}
	case reflect.Slice:
		v = reflect.Append(v, madeUp(t, typ.Elem(), depth), madeUp(t, typ.Elem(), depth))
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		v.Elem().Set(madeUp(t, typ.Elem(), depth))
	case reflect.Struct:
		for i := range typ.NumField() {
			if depth > 0 && v.Field(i).CanSet() {
				v.Field(i).Set(madeUp(t, typ.Field(i).Type, depth-1))
			}
		}
	}
	return v
}

type marshaler struct{ b []byte }

func (m marshaler) MarshalBinary() ([]byte, error) { return m.b, nil }

// TestKeysAreWhatGoRedisWrites has a server echo what go-redis makes of each type
// of argument: a key must be the same bytes here.
func TestKeysAreWhatGoRedisWrites(t *testing.T) {
	c := redistest.Client(t, redistest.Standalone(t, redistest.Options{}))
	now, pi, yes, d := time.Now(), 3.25, true, time.Minute
	text := "text"
	for _, arg := range []any{
		"", "k", "\x00\xff", []byte("bytes"), nil, 1, int8(-1), int16(2), int32(3), int64(-4), uint(5), uint8(6), uint16(7), uint32(8),
		uint64(1 << 63), uintptr(9), float32(0.1), 1e21, -2.5, true, false, now, now.UTC(), time.Minute, net.IPv4(1, 2, 3, 4),
		marshaler{[]byte("m")}, &marshaler{[]byte("p")}, &text, &pi, &yes, &d, &now, ptr(1), ptr(int8(1)), ptr(int16(1)), ptr(int32(1)), ptr(int64(1)),
		ptr(uint(1)), ptr(uint8(1)), ptr(uint16(1)), ptr(uint32(1)), ptr(uint64(1)), ptr(uintptr(1)), ptr(float32(0.1)),
		(*string)(nil), (*int)(nil), (*bool)(nil), (*time.Time)(nil), (*time.Duration)(nil), (*float64)(nil),
		struct{}{}, []string{"a"}, map[string]int{}, complex(1, 2), // none of these can be sent
	} {
		want, sendErr := c.Do(t.Context(), "echo", arg).Text()
		args := []any{"get", arg}
		got, err := lookup(t, args).AppendKeys(nil, args)
		if (err != nil) != (sendErr != nil) {
			t.Errorf("%T: got %v; go-redis says %v", arg, err, sendErr)
		}
		if err == nil && !bytes.Equal([]byte(got[0]), []byte(want)) {
			t.Errorf("%T: got %q; go-redis writes %q", arg, got[0], want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

package queue

import (
	"crypto/md5" // asynq's name of a payload, not a secret
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// header is the one that our jobs have: "nonce/retention in seconds".
const header = "transload"

// nonceOf reads our header.
func nonceOf(h map[string]string) (nonce, retain string) {
	nonce, retain, _ = strings.Cut(h[header], "/")
	return nonce, retain
}

// The fields of asynq's TaskMessage, a protobuf message, by their numbers. Those that
// a job has which was never run are left out.
const (
	fieldType      = 1
	fieldPayload   = 2
	fieldID        = 3
	fieldQueue     = 4
	fieldRetry     = 5
	fieldTimeout   = 8
	fieldDeadline  = 9
	fieldUniqueKey = 10
	fieldRetention = 12
	fieldHeaders   = 15
)

// message is the job as it stands in Redis. asynq's own way there is by reflection,
// and costs as much as all else that enqueuing does in this process. That the bytes
// are the same as asynq's is seen before they are used: see learn.
func (e *entry) message(lock string) []byte {
	b := make([]byte, 0, len(e.name)+len(e.payload)+len(e.id)+len(e.queue)+len(lock)+len(e.nonce)+96)
	b = appendText(b, fieldType, e.name)
	b = appendText(b, fieldPayload, e.payload)
	b = appendText(b, fieldID, e.id)
	b = appendText(b, fieldQueue, e.queue)
	b = appendInt(b, fieldRetry, int64(int32(e.attempts-1)))
	b = appendInt(b, fieldTimeout, seconds(e.timeout))
	if !e.deadline.IsZero() {
		b = appendInt(b, fieldDeadline, e.deadline.Unix())
	}
	b = appendText(b, fieldUniqueKey, lock)
	b = appendInt(b, fieldRetention, seconds(e.retain))
	return e.appendHeader(b)
}

// appendHeader appends a map of one entry, a message of a key and a value.
func (e *entry) appendHeader(b []byte) []byte {
	var room [20]byte
	retain := strconv.AppendInt(room[:0], seconds(e.retain), 10)
	mark := nonceLen + len("/") + len(retain) // under 128, as all that is here: lengths of one byte
	b = append(b, fieldHeaders<<3|2, byte(2+len(header)+2+mark))
	b = appendText(b, 1, header)
	b = append(b, 2<<3|2, byte(mark))
	b = append(append(b, e.nonce...), '/')
	return append(b, retain...)
}

func appendText[T string | []byte](b []byte, field byte, text T) []byte {
	if len(text) == 0 {
		return b
	}
	b = binary.AppendUvarint(append(b, field<<3|2), uint64(len(text)))
	return append(b, text...)
}

func appendInt(b []byte, field byte, n int64) []byte {
	if n == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, field<<3), uint64(n))
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// lock is the name of the key by which a job is Unique, and empty if it is not.
func (e *entry) lock() string {
	switch {
	case e.unique == 0:
		return ""
	case e.payload == nil:
		return queueKey(e.queue, "unique:"+e.name+":")
	}
	sum := md5.Sum(e.payload)
	return queueKey(e.queue, "unique:"+e.name+":"+hex.EncodeToString(sum[:]))
}

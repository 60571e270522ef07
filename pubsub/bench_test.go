package pubsub

import (
	"fmt"
	"testing"

	"github.com/transload/transload/internal/redistest"
)

// What a publish costs, beside a plain PUBLISH of the same bytes.
func BenchmarkPublish(b *testing.B) {
	c := open(b, redistest.SharedStandalone(b))
	h, err := New(c, loadTopics(), Options{})
	must(b, err)
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if err := c.Publish(b.Context(), "plain", `{"n":1,"sent":2,"lat":52.1,"lon":4.3}`).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, topic := range []string{"pos:bench", "track:bench"} {
		policy, err := h.policy(topic)
		must(b, err)
		b.Run(policy.Delivery.String(), func(b *testing.B) {
			for b.Loop() {
				value := []byte(`{"n":1,"sent":2,"lat":52.1,"lon":4.3}`)
				if _, err := h.number(b.Context(), h.partOf(topic), topic, "truck", kinds[policy.Delivery], value, policy); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What one message costs that so many follow, up to each one's fetch.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := newTopic("pos:a", "k", &Topic{Delivery: Latest}, nil)
			t.line = []span{{epoch: "a"}}
			var list []*follow
			for range n {
				f := &follow{t: t, to: nobody{}}
				must(b, f.place(""))
				list = append(list, f)
			}
			seq := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				t.arrive(&message{topic: "pos:a", key: "truck", data: "1", epoch: "a", seq: seq})
				for _, f := range list {
					if _, _, err := f.fetch(batch); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

type nobody struct{}

func (nobody) wake(*follow) {}

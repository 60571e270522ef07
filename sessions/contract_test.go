package sessions_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/suite"
)

func TestContract(t *testing.T) { contract.Run(t, suite.Sessions) }

func TestContractOnMiniredis(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	suite.Sessions(t, c)
}

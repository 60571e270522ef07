package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/transload/transload/examples/freight/app"
)

// errProbe means that a workload is not well.
var errProbe = errors.New("not every workload is well")

// probe has a running app try its workloads, and prints what came of it.
func probe(ctx context.Context, args []string, out io.Writer) error {
	url := "http://localhost:8081"
	switch len(args) {
	case 0:
	case 1:
		url = strings.TrimSuffix(args[0], "/")
	default:
		return errUsage
	}
	probes, err := askProbes(ctx, url)
	if err != nil {
		return fmt.Errorf("%w: give the address for engineers (FREIGHT_ADMIN)", err)
	}
	for _, p := range probes {
		word := "ok"
		if !p.OK {
			word, err = "FAILED", errProbe
		}
		fmt.Fprintf(out, "%-6s  %-9s  %7.1f ms  %s\n", word, p.Workload, p.MS, p.Error)
	}
	return err
}

func askProbes(ctx context.Context, url string) (probes []app.Probe, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/probe", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&probes); err != nil {
		return nil, fmt.Errorf("%s answers %s, and no probes", url, resp.Status)
	}
	return probes, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

func parseAccount(text string) httpv1.Account {
	namespace, name, _ := strings.Cut(text, "/")
	return httpv1.Account{Namespace: namespace, Name: name}
}

// call makes one call. It returns the HTTP status, and the response or problem as JSON. It returns
// an error if there was no answer, or one that is not Sluice's.
func call(
	ctx context.Context, c *sluice.Client, verb, account, request string,
) (status int, text string, err error) {
	var response any
	if account == "batch" {
		response, err = batch(ctx, c, verb, request)
	} else {
		response, err = single(ctx, c, verb, parseAccount(account), request)
	}
	status = http.StatusOK
	if p, ok := errors.AsType[*httpv1.Problem](err); ok {
		status, response = p.Status, p
	} else if err != nil {
		return 0, "", err
	}
	encoded, err := json.Marshal(response)
	return status, string(encoded), err
}

func single(
	ctx context.Context, c *sluice.Client, verb string, account httpv1.Account, text string,
) (response any, err error) {
	switch verb {
	case "check":
		request, err := parse[httpv1.CheckRequest](text)
		if err != nil {
			return nil, err
		}
		return c.Check(ctx, account, request)
	case "commit":
		request, err := parse[httpv1.CommitRequest](text)
		if err != nil {
			return nil, err
		}
		return c.Commit(ctx, account, request)
	case "release":
		request, err := parse[httpv1.ReleaseRequest](text)
		if err != nil {
			return nil, err
		}
		return c.Release(ctx, account, request)
	case "usage":
		return c.Usage(ctx, account)
	}
	return nil, fmt.Errorf("unknown verb %q", verb)
}

func batch(ctx context.Context, c *sluice.Client, verb, text string) (response any, err error) {
	switch verb {
	case "check":
		request, err := parse[httpv1.CheckBatchRequest](text)
		if err != nil {
			return nil, err
		}
		return c.CheckBatch(ctx, request)
	case "commit":
		request, err := parse[httpv1.CommitBatchRequest](text)
		if err != nil {
			return nil, err
		}
		return c.CommitBatch(ctx, request)
	case "release":
		request, err := parse[httpv1.ReleaseBatchRequest](text)
		if err != nil {
			return nil, err
		}
		return c.ReleaseBatch(ctx, request)
	}
	return nil, fmt.Errorf("unknown verb of a batch %q", verb)
}

// parse reads a request. An empty text is one without fields.
func parse[Request any](text string) (request Request, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &request)
	}
	return request, err
}

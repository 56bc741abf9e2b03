package httpv1

import "strconv"

// Account says which account an item of a batch is about: the namespace and name of its MailAccount.
type Account struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// CheckItem is one check of a batch.
type CheckItem struct {
	Account
	CheckRequest
}

// CommitItem is one commit of a batch.
type CommitItem struct {
	Account
	CommitRequest
}

// ReleaseItem is one release of a batch.
type ReleaseItem struct {
	Account
	ReleaseRequest
}

// CheckBatchRequest is up to MaxBatch checks, of any accounts. They are made in order, each on its own: a denial or a problem of
// one neither undoes those before it nor keeps those after it from being made.
type CheckBatchRequest struct {
	Checks []CheckItem `json:"checks"`
}

// CommitBatchRequest is up to MaxBatch commits, made in order, each on its own.
type CommitBatchRequest struct {
	Commits []CommitItem `json:"commits"`
}

// ReleaseBatchRequest is up to MaxBatch releases, made in order, each on its own.
type ReleaseBatchRequest struct {
	Releases []ReleaseItem `json:"releases"`
}

// CheckBatchResponse answers a CheckBatchRequest: one result for each of its checks, in the same order.
type CheckBatchResponse struct {
	Results []CheckItemResponse `json:"results"`
}

// CheckItemResponse is the decision of one check, or why there is none: just one of the two is not nil.
type CheckItemResponse struct {
	*CheckResponse
	Problem *Problem `json:"problem,omitempty"`
}

// CommitBatchResponse answers a CommitBatchRequest: one result for each of its commits, in the same order.
type CommitBatchResponse struct {
	Results []CommitItemResponse `json:"results"`
}

// CommitItemResponse is the outcome of one commit, or why there is none: just one of the two is not nil.
type CommitItemResponse struct {
	*CommitResponse
	Problem *Problem `json:"problem,omitempty"`
}

// ReleaseBatchResponse answers a ReleaseBatchRequest: one result for each of its releases, in the same order.
type ReleaseBatchResponse struct {
	Results []ReleaseItemResponse `json:"results"`
}

// ReleaseItemResponse is the outcome of one release, or why there is none: just one of the two is not nil.
type ReleaseItemResponse struct {
	*ReleaseResponse
	Problem *Problem `json:"problem,omitempty"`
}

var accountFields = fields[Account]{
	{"namespace", func(a *Account, r *reader) error { return r.plain(&a.Namespace) }},
	{"name", func(a *Account, r *reader) error { return r.plain(&a.Name) }},
}

var checkItemFields = join(
	within(accountFields, func(i *CheckItem) *Account { return &i.Account }),
	within(checkFields, func(i *CheckItem) *CheckRequest { return &i.CheckRequest }))

var commitItemFields = join(
	within(accountFields, func(i *CommitItem) *Account { return &i.Account }),
	within(commitFields, func(i *CommitItem) *CommitRequest { return &i.CommitRequest }))

var releaseItemFields = join(
	within(accountFields, func(i *ReleaseItem) *Account { return &i.Account }),
	within(releaseFields, func(i *ReleaseItem) *ReleaseRequest { return &i.ReleaseRequest }))

var checkBatchFields = fields[CheckBatchRequest]{
	{"checks", func(b *CheckBatchRequest, r *reader) error { return readList(r, checkItemFields, &b.Checks) }},
}

var commitBatchFields = fields[CommitBatchRequest]{
	{"commits", func(b *CommitBatchRequest, r *reader) error { return readList(r, commitItemFields, &b.Commits) }},
}

var releaseBatchFields = fields[ReleaseBatchRequest]{
	{"releases", func(b *ReleaseBatchRequest, r *reader) error { return readList(r, releaseItemFields, &b.Releases) }},
}

// Decode reads the batch's JSON, as strictly as that of a single request. More than MaxBatch items, and no list of them
// at all, are a *Problem; what is wrong with the value of one item is left to whoever handles it.
func (b *CheckBatchRequest) Decode(body []byte) error {
	return given("checks", &b.Checks, checkBatchFields.decode(body, b))
}

// Decode reads the batch's JSON; see CheckBatchRequest.Decode.
func (b *CommitBatchRequest) Decode(body []byte) error {
	return given("commits", &b.Commits, commitBatchFields.decode(body, b))
}

// Decode reads the batch's JSON; see CheckBatchRequest.Decode.
func (b *ReleaseBatchRequest) Decode(body []byte) error {
	return given("releases", &b.Releases, releaseBatchFields.decode(body, b))
}

// given wants a list to be there once a body was decoded, if only an empty one: without it the caller meant something
// else.
func given[T any](name string, list *[]T, err error) error {
	if err == nil && *list == nil {
		return InvalidField.Problem(name + " is missing: it lists 0 to " + strconv.Itoa(MaxBatch) + " items.")
	}
	return err
}

// Len is how many checks there are.
func (b *CheckBatchRequest) Len() int { return len(b.Checks) }

// Item is the i-th check: of which account, and what it asks.
func (b *CheckBatchRequest) Item(i int) (Account, *CheckRequest) {
	return b.Checks[i].Account, &b.Checks[i].CheckRequest
}

// Len is how many commits there are.
func (b *CommitBatchRequest) Len() int { return len(b.Commits) }

// Item is the i-th commit: of which account, and what it says.
func (b *CommitBatchRequest) Item(i int) (Account, *CommitRequest) {
	return b.Commits[i].Account, &b.Commits[i].CommitRequest
}

// Len is how many releases there are.
func (b *ReleaseBatchRequest) Len() int { return len(b.Releases) }

// Item is the i-th release: of which account, and what it says.
func (b *ReleaseBatchRequest) Item(i int) (Account, *ReleaseRequest) {
	return b.Releases[i].Account, &b.Releases[i].ReleaseRequest
}

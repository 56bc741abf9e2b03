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

// CheckBatch is up to MaxBatch checks, of any accounts. They are made in order, each on its own: a denial or a problem of
// one neither undoes those before it nor keeps those after it from being made.
type CheckBatch struct {
	Checks []CheckItem `json:"checks"`
}

// CommitBatch is up to MaxBatch commits, made in order, each on its own.
type CommitBatch struct {
	Commits []CommitItem `json:"commits"`
}

// ReleaseBatch is up to MaxBatch releases, made in order, each on its own.
type ReleaseBatch struct {
	Releases []ReleaseItem `json:"releases"`
}

// CheckResults answers a CheckBatch: one result for each of its checks, in the same order.
type CheckResults struct {
	Results []CheckResult `json:"results"`
}

// CheckResult is the decision of one check, or why there is none: just one of the two is not nil.
type CheckResult struct {
	*Decision
	Problem *Problem `json:"problem,omitempty"`
}

// Results answers a CommitBatch or ReleaseBatch: one result for each of its items, in the same order.
type Results struct {
	Results []ItemResult `json:"results"`
}

// ItemResult is the outcome of one commit or release, or why there is none: just one of the two is not nil.
type ItemResult struct {
	*Result
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

var checkBatchFields = fields[CheckBatch]{
	{"checks", func(b *CheckBatch, r *reader) error { return readList(r, checkItemFields, &b.Checks) }},
}

var commitBatchFields = fields[CommitBatch]{
	{"commits", func(b *CommitBatch, r *reader) error { return readList(r, commitItemFields, &b.Commits) }},
}

var releaseBatchFields = fields[ReleaseBatch]{
	{"releases", func(b *ReleaseBatch, r *reader) error { return readList(r, releaseItemFields, &b.Releases) }},
}

// Decode reads the batch's JSON, as strictly as that of a single request. More than MaxBatch items, and no list of them
// at all, are a *Problem; what is wrong with the value of one item is left to whoever handles it.
func (b *CheckBatch) Decode(body []byte) error {
	return given("checks", &b.Checks, checkBatchFields.decode(body, b))
}

// Decode reads the batch's JSON; see CheckBatch.Decode.
func (b *CommitBatch) Decode(body []byte) error {
	return given("commits", &b.Commits, commitBatchFields.decode(body, b))
}

// Decode reads the batch's JSON; see CheckBatch.Decode.
func (b *ReleaseBatch) Decode(body []byte) error {
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
func (b *CheckBatch) Len() int { return len(b.Checks) }

// Item is the i-th check: of which account, and what it asks.
func (b *CheckBatch) Item(i int) (Account, *CheckRequest) {
	return b.Checks[i].Account, &b.Checks[i].CheckRequest
}

// Len is how many commits there are.
func (b *CommitBatch) Len() int { return len(b.Commits) }

// Item is the i-th commit: of which account, and what it says.
func (b *CommitBatch) Item(i int) (Account, *CommitRequest) {
	return b.Commits[i].Account, &b.Commits[i].CommitRequest
}

// Len is how many releases there are.
func (b *ReleaseBatch) Len() int { return len(b.Releases) }

// Item is the i-th release: of which account, and what it says.
func (b *ReleaseBatch) Item(i int) (Account, *ReleaseRequest) {
	return b.Releases[i].Account, &b.Releases[i].ReleaseRequest
}

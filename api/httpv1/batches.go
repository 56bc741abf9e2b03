package httpv1

import "strconv"

// Account is the account that an item of a batch is about: the namespace and the name of its
// MailAccount.
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

// CheckBatchRequest asks for up to MaxBatch checks, of any accounts. The service makes them in
// order, each on its own. It makes all of them, also if some are denied or have a problem.
type CheckBatchRequest struct {
	Checks []CheckItem `json:"checks"`
}

// CommitBatchRequest asks for up to MaxBatch commits, made in order, each on its own.
type CommitBatchRequest struct {
	Commits []CommitItem `json:"commits"`
}

// ReleaseBatchRequest asks for up to MaxBatch releases, made in order, each on its own.
type ReleaseBatchRequest struct {
	Releases []ReleaseItem `json:"releases"`
}

// CheckBatchResponse answers a CheckBatchRequest, with one result for each check, in their order.
type CheckBatchResponse struct {
	Results []CheckItemResponse `json:"results"`
}

// CheckItemResponse is the result of one check: a decision or a problem. The other one is nil.
type CheckItemResponse struct {
	*CheckResponse
	Problem *Problem `json:"problem,omitempty"`
}

// CommitBatchResponse answers a CommitBatchRequest, with one result for each commit, in their
// order.
type CommitBatchResponse struct {
	Results []CommitItemResponse `json:"results"`
}

// CommitItemResponse is the result of one commit: an outcome or a problem. The other one is nil.
type CommitItemResponse struct {
	*CommitResponse
	Problem *Problem `json:"problem,omitempty"`
}

// ReleaseBatchResponse answers a ReleaseBatchRequest, with one result for each release, in their
// order.
type ReleaseBatchResponse struct {
	Results []ReleaseItemResponse `json:"results"`
}

// ReleaseItemResponse is the result of one release: an outcome or a problem. The other one is nil.
type ReleaseItemResponse struct {
	*ReleaseResponse
	Problem *Problem `json:"problem,omitempty"`
}

func (a *Account) fields(f []field) []field {
	return append(f, field{name: "namespace", to: &a.Namespace}, field{name: "name", to: &a.Name})
}

func (i *CheckItem) fields(f []field) []field {
	return i.CheckRequest.fields(i.Account.fields(f))
}

func (i *CommitItem) fields(f []field) []field {
	return i.CommitRequest.fields(i.Account.fields(f))
}

func (i *ReleaseItem) fields(f []field) []field {
	return i.ReleaseRequest.fields(i.Account.fields(f))
}

// Decode reads the batch's JSON, as strictly as that of a single request. It returns a *Problem if
// there are more than MaxBatch items, or no list of them. It does not look at the values of items.
func (b *CheckBatchRequest) Decode(body []byte) error {
	err := decode(body, []field{{name: "checks", to: &b.Checks}})
	if err == nil && b.Checks == nil {
		return missingList("checks")
	}
	return err
}

// Decode reads the batch's JSON; see CheckBatchRequest.Decode.
func (b *CommitBatchRequest) Decode(body []byte) error {
	err := decode(body, []field{{name: "commits", to: &b.Commits}})
	if err == nil && b.Commits == nil {
		return missingList("commits")
	}
	return err
}

// Decode reads the batch's JSON; see CheckBatchRequest.Decode.
func (b *ReleaseBatchRequest) Decode(body []byte) error {
	err := decode(body, []field{{name: "releases", to: &b.Releases}})
	if err == nil && b.Releases == nil {
		return missingList("releases")
	}
	return err
}

// missingList is the problem of a batch without its list, which may be empty but not left out.
func missingList(name string) error {
	return InvalidField.Problem(
		name + " is missing: it lists 0 to " + strconv.Itoa(MaxBatch) + " items.")
}

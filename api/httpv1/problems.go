package httpv1

// ProblemBase is the beginning of the types of all problems.
const ProblemBase = "https://sluice.dev/problems/"

// Problem is an error as RFC 9457 defines it (application/problem+json).
type Problem struct {
	// Type is ProblemBase with one of the names below. It is stable.
	Type string `json:"type"`
	// Title is the same for all problems of a type.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail says what to do.
	Detail string `json:"detail"`
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// ProblemKind is a type of problem.
type ProblemKind struct {
	Name   string // what follows ProblemBase in the type
	Status int
	Title  string
}

// Problem returns a problem of this kind.
func (k ProblemKind) Problem(detail string) *Problem {
	return &Problem{Type: ProblemBase + k.Name, Title: k.Title, Status: k.Status, Detail: detail}
}

// The kinds of problems.
var (
	MalformedRequest    = ProblemKind{"malformed-request", 400, "The request is not understood"}
	Unauthenticated     = ProblemKind{"unauthenticated", 401, "It is not known who calls"}
	Forbidden           = ProblemKind{"forbidden", 403, "The caller has no right to do this"}
	AccountNotFound     = ProblemKind{"account-not-found", 404, "There is no such account"}
	ReservationNotFound = ProblemKind{"reservation-not-found", 404, "There is no such reservation"}
	PathNotFound        = ProblemKind{"path-not-found", 404, "There is nothing at this path"}
	MethodNotAllowed    = ProblemKind{"method-not-allowed", 405, "The method is not allowed here"}
	ReservationConflict = ProblemKind{"reservation-conflict", 409,
		"The reservation is in another state"}
	BodyTooLarge         = ProblemKind{"body-too-large", 413, "The body is too large"}
	UnsupportedMediaType = ProblemKind{"unsupported-media-type", 415,
		"The media type is not supported"}
	InvalidField     = ProblemKind{"invalid-field", 422, "A field has a value out of bounds"}
	CostExceedsLimit = ProblemKind{"cost-exceeds-limit", 422, "The cost exceeds a limit"}
	InternalError    = ProblemKind{"internal-error", 500, "Something went wrong in Sluice"}
	NotReady         = ProblemKind{"not-ready", 503, "This Sluice is not ready"}
	StoreUnavailable = ProblemKind{"store-unavailable", 503, "The store is unavailable"}
	Overloaded       = ProblemKind{"overloaded", 503, "There is too much at a time"}
)

package httpv1

// CheckRequest asks to send now. All fields are optional.
type CheckRequest struct {
	// ID is the id of the reservation; see ValidID. If nil, the service makes one up. A check that
	// is repeated with the id of an outstanding reservation gets the same reservation. An id is for
	// one attempt to send: the next attempt for the same message needs another, such as ID/2.
	ID *string `json:"id,omitempty"`
	// Cost is how much of each limit the mail uses up, 1 to MaxCost; 1 if nil.
	Cost *int64 `json:"cost,omitempty"`
	// TTLSeconds is how long to hold the reservation, 1 to MaxTTLSeconds. If nil, it is what the
	// service was started with, by default two minutes.
	TTLSeconds *int64 `json:"ttlSeconds,omitempty"`
}

// CommitRequest says that a mail has left.
type CommitRequest struct {
	// Reservation is the id of the reservation; the oldest outstanding one if nil.
	Reservation *string `json:"reservation,omitempty"`
	// Cost is what really left, 1 to MaxCost. If nil, it is the reservation's cost, or 1 if there
	// is no such reservation. Give it always: the service forgets old reservations, and their cost.
	Cost *int64 `json:"cost,omitempty"`
}

// ReleaseRequest says that a mail did not leave.
type ReleaseRequest struct {
	// Reservation is the id of the reservation; the oldest outstanding one if nil.
	Reservation *string `json:"reservation,omitempty"`
}

// Decode reads the request's JSON, strictly; see docs/design/0003. An empty body stands for {}.
func (q *CheckRequest) Decode(body []byte) error {
	var buffer [maxFields]field
	return decode(body, q.fields(buffer[:0]))
}

// Decode reads the request's JSON, strictly; see docs/design/0003. An empty body stands for {}.
func (q *CommitRequest) Decode(body []byte) error {
	var buffer [maxFields]field
	return decode(body, q.fields(buffer[:0]))
}

// Decode reads the request's JSON, strictly; see docs/design/0003. An empty body stands for {}.
func (q *ReleaseRequest) Decode(body []byte) error {
	var buffer [maxFields]field
	return decode(body, q.fields(buffer[:0]))
}

func (q *CheckRequest) fields(f []field) []field {
	return append(f,
		field{name: "id", to: &q.ID},
		field{name: "cost", to: &q.Cost},
		field{name: "ttlSeconds", to: &q.TTLSeconds})
}

func (q *CommitRequest) fields(f []field) []field {
	return append(f,
		field{name: "reservation", to: &q.Reservation},
		field{name: "cost", to: &q.Cost})
}

func (q *ReleaseRequest) fields(f []field) []field {
	return append(f, field{name: "reservation", to: &q.Reservation})
}

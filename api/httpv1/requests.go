package httpv1

// CheckRequest asks to send now. All fields are optional.
type CheckRequest struct {
	// ID names the reservation; see ValidID. A check that is repeated with the ID of an outstanding
	// reservation gets the same one. An ID is of one attempt to send: the next attempt of the same
	// message needs another, such as ID/2. Without it the service makes one up.
	ID *string `json:"id,omitempty"`
	// Cost is how much of each limit to take, 1 to MaxCost; 1 if nil.
	Cost *int64 `json:"cost,omitempty"`
	// TTLSeconds is for how long to hold the slot, 1 to MaxTTLSeconds; what the service was started with (two
	// minutes, unless told otherwise) if nil.
	TTLSeconds *int64 `json:"ttlSeconds,omitempty"`
}

// CommitRequest says that a mail has left.
type CommitRequest struct {
	// Reservation is the id of the reservation; the oldest outstanding one if nil.
	Reservation *string `json:"reservation,omitempty"`
	// Cost is what really left, 1 to MaxCost; the reservation's cost if nil, or 1 where there is none.
	// Give it always: a reservation that ended may be forgotten, and its cost with it.
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
	return append(f, field{name: "reservation", to: &q.Reservation}, field{name: "cost", to: &q.Cost})
}

func (q *ReleaseRequest) fields(f []field) []field {
	return append(f, field{name: "reservation", to: &q.Reservation})
}

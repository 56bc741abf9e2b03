package httpv1

// CheckRequest asks to send now. All fields are optional.
type CheckRequest struct {
	// ID names the reservation. A check that is repeated with the ID of an outstanding reservation gets the same
	// one. Without it the service makes one up.
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
	Cost *int64 `json:"cost,omitempty"`
}

// ReleaseRequest says that a mail did not leave.
type ReleaseRequest struct {
	// Reservation is the id of the reservation; the oldest outstanding one if nil.
	Reservation *string `json:"reservation,omitempty"`
}

// Decode reads the request's JSON, strictly; see readObject. Nothing, not even {}, stands for the defaults.
func (r *CheckRequest) Decode(body []byte) error {
	return readObject(body, func(name string, v *value) error {
		switch name {
		case "id":
			return v.text(&r.ID)
		case "cost":
			return v.integer(&r.Cost)
		case "ttlSeconds":
			return v.integer(&r.TTLSeconds)
		}
		return v.unknown("id, cost and ttlSeconds")
	})
}

// Decode reads the request's JSON, strictly; see readObject. Nothing, not even {}, stands for the defaults.
func (r *CommitRequest) Decode(body []byte) error {
	return readObject(body, func(name string, v *value) error {
		switch name {
		case "reservation":
			return v.text(&r.Reservation)
		case "cost":
			return v.integer(&r.Cost)
		}
		return v.unknown("reservation and cost")
	})
}

// Decode reads the request's JSON, strictly; see readObject. Nothing, not even {}, stands for the defaults.
func (r *ReleaseRequest) Decode(body []byte) error {
	return readObject(body, func(name string, v *value) error {
		if name == "reservation" {
			return v.text(&r.Reservation)
		}
		return v.unknown("reservation")
	})
}

package limiter

// Stats counts what a Limiter holds, for metrics. It visits no account.
type Stats struct {
	Accounts     int
	Reservations int // outstanding, of all accounts
}

// Stats returns the counts.
func (l *Limiter) Stats() Stats {
	return Stats{Accounts: l.accounts.size(), Reservations: l.store.Reservations()}
}

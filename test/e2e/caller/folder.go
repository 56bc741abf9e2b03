package main

import "os"

// user is who Sluice and this program run as.
const user = 65532

// give makes empty folders that belong to Sluice. It is for hostPath volumes, whose owner
// Kubernetes does not change.
func give(folders []string) error {
	if err := remove(folders); err != nil {
		return err
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := os.Chown(folder, user, user); err != nil {
			return err
		}
	}
	return nil
}

func remove(folders []string) error {
	for _, folder := range folders {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

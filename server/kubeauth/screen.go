package kubeauth

import "context"

// How many tokens each ServiceAccount may have screened, and as many all together whose signature
// cannot be verified.
const (
	screenedPerSecond = 5
	screenedBurst     = 10
)

// Screen returns an error if a token is not worth a review that somebody else makes: nobody has
// signed it, or its ServiceAccount had many screened lately. It never waits for others. That there
// is no error does not say that the token is good. Tokens for any audience can be screened.
func (a *Auth) Screen(ctx context.Context, token string) error {
	if len(token) > maxTokenBytes {
		return problemMalformed
	}
	serviceAccount := "" // not known
	if c, ok := parseClaims(token); ok {
		v, err := a.keys.verify(ctx, token)
		switch {
		case err != nil:
			return problemShedToken
		case v == forged:
			return problemForged
		case v == genuine:
			serviceAccount = c.Subject
		}
	}
	if !a.screened.allows(serviceAccount, a.clock()) {
		return problemShedToken
	}
	return nil
}

package redis

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"embed"
	"encoding/hex"
	"strings"
	"text/template"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// status is the answer of a script in one byte.
type status = byte

// The statuses.
const (
	statusNotFound status = iota // the account was purged
	statusLost                   // the store is not of the epoch that it should be of
	statusBehind                 // the account is older than what this replica has seen of it
	statusAgain                  // more reservations are due than one call expires: call again
	statusAllowed
	statusDenied
	statusSuspended
	statusOtherCost
	statusEnded
	statusExceedsLimit
	statusAccountOverloaded
	statusOverloaded
	statusCommitted
	statusLate
	statusUnreserved
	statusReleased
	statusReservationNotFound
	statusUsage
	statusPurged
)

// Bounds; see the fields of the same names in limiter/memory.
const (
	resolution    = 8192
	maxStamps     = 32_256
	maxRemembered = 16_384
	rememberFor   = 15 * time.Minute
)

const (
	minStamps = 4  // of a ring
	stampSize = 20 // bytes
	// forgetting is how many ids end between two times that some are forgotten. Until then those
	// that should be are not found, and stay in memory.
	forgetting = 32
	manyTimes  = 8   // how many stamps a merge reads at a time
	maxExpire  = 100 // how many reservations one call makes sends of
	// keepFor is how long keys live after their last use: a day, the hour in which their expiry is
	// not set anew, and an hour for what is outstanding.
	keepFor = 26 * time.Hour
	names   = 1 << 52 // what the scores of calls without an id begin with
	modulus = 1 << 52 // of the sums of cost: a Lua number is exact up to twice that
)

// Formats of the struct library. The header is an account's; the others are replies.
const (
	headerFormat = ">I1I4I4I4I4I4I4I4I4I4I8I4" +
		"I4I8I4I4I4" + "I4I8I4I4I4" + "I4I8I4I4I4" + "I4I8I4I4I4" +
		"I4I8I8I4I4I4I4I4I4I8"
	headerSize   = 1 + 9*4 + 8 + 4 + limiter.Windows*24 + 4 + 8 + 8 + 6*4 + 8
	replyFormat  = ">I1I4I4I4I4I4I4I4"
	policyFormat = ">I8I1I1I1I8I8I8I8I8I8I8I8"
	stateFormat  = ">I4I4I8" + "I8I4I4" + "I8I4I4" + "I8I4I4" + "I8I4I4" +
		"I8I4I4" + "I8I4I4" + "I8I4I4" + "I8I4I4"
)

// luaWindow is a window in the templates. K counts from 1.
type luaWindow struct {
	K, Stamp     int
	Length, Cell int64 // in nanoseconds
	Seconds      int64
	Modulus      int64
}

// luaRow is a row of the table of limits: U is "c" for cost and "m" for messages.
type luaRow struct {
	luaWindow
	U string
}

// luaScript is what the templates know.
type luaScript struct {
	Always                          bool // slide minute, hour and day also where they have no limit
	Windows, Shorter                []luaWindow
	Day                             luaWindow
	Rows, CostRows                  []luaRow
	Header, Reply, Policy, State    string
	ManyTimes                       string // the times of so many stamps
	Many                            int
	Block                           []int // 0 to Many-1
	HeaderSize, Stamp, Resolution   int
	MinStamps, MaxStamps            int
	MaxExpire, MaxRemembered        int
	Forgetting                      int
	KeepFor, RememberFor, Modulus   int64
	Names, RememberCalls            int64
	Live, Purged                    int // states of an account
	Expired, Committed, Late        int // states of an id
	Unreserved, Released            int
	Outstanding                     int
	NotFound, Lost, Behind          status
	Again, Allowed                  status
	Denied, Suspended, OtherCost    status
	Ended, ExceedsLimit             status
	AccountOverloaded, Overloaded   status
	IsCommitted, IsLate             status
	IsUnreserved, IsReleased, Usage status
	ReservationNotFound, IsPurged   status
}

func newLuaScript(always bool) *luaScript {
	s := &luaScript{
		Always: always, Header: headerFormat, Reply: replyFormat, Policy: policyFormat,
		State: stateFormat, ManyTimes: ">" + strings.Repeat("I4I4xxxxxxxxxxxx", manyTimes),
		Many:       manyTimes,
		HeaderSize: headerSize, Stamp: stampSize, Resolution: resolution,
		MinStamps: minStamps, MaxStamps: maxStamps, MaxExpire: maxExpire,
		MaxRemembered: maxRemembered, Forgetting: forgetting, KeepFor: int64(keepFor / time.Second),
		RememberFor: int64(rememberFor), Modulus: modulus, Live: 1, Purged: 2,
		Names: names, RememberCalls: int64(rememberCalls/time.Second) + 30,
		Expired: 0, Committed: 1, Late: 2, Unreserved: 3, Released: 4, Outstanding: 5,
		NotFound: statusNotFound, Lost: statusLost, Behind: statusBehind, Again: statusAgain,
		Allowed: statusAllowed,
		Denied:  statusDenied, Suspended: statusSuspended, OtherCost: statusOtherCost,
		Ended: statusEnded, ExceedsLimit: statusExceedsLimit,
		AccountOverloaded: statusAccountOverloaded, Overloaded: statusOverloaded,
		IsCommitted: statusCommitted, IsLate: statusLate, IsUnreserved: statusUnreserved,
		IsReleased: statusReleased, Usage: statusUsage,
		ReservationNotFound: statusReservationNotFound, IsPurged: statusPurged,
	}
	for n := range manyTimes {
		s.Block = append(s.Block, n)
	}
	cell := int64(time.Second) / resolution
	for w := range limiter.Window(limiter.Windows) {
		seconds := int64(w.Length() / time.Second)
		s.Windows = append(s.Windows, luaWindow{
			K: int(w) + 1, Stamp: stampSize, Length: int64(w.Length()), Cell: cell * seconds,
			Seconds: seconds, Modulus: modulus,
		})
	}
	s.Shorter, s.Day = s.Windows[:limiter.Day], s.Windows[limiter.Day]
	for _, unit := range []string{"c", "m"} {
		for _, w := range s.Windows {
			s.Rows = append(s.Rows, luaRow{w, unit})
		}
	}
	s.CostRows = s.Rows[:limiter.Windows]
	return s
}

// script is one script: its text, and the hash by which the server knows it.
type script struct{ text, sha string }

var checkScript, commitScript, releaseScript, usageScript, purgeScript, assertScript = func() (
	check, commit, release, usage, purge, assert *script,
) {
	templates := template.Must(template.ParseFS(luaFiles, "lua/*.lua"))
	render := func(name string) *script {
		var text strings.Builder
		data := newLuaScript(name == "usage.lua")
		if err := templates.ExecuteTemplate(&text, name, data); err != nil {
			panic(err)
		}
		sum := sha1.Sum([]byte(text.String())) //nolint:gosec // Redis names scripts by it
		return &script{text.String(), hex.EncodeToString(sum[:])}
	}
	return render("check.lua"), render("commit.lua"), render("release.lua"),
		render("usage.lua"), render("purge.lua"), render("assert.lua")
}()

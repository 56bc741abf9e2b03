package main

import (
	"testing"
	"time"
)

func TestFullest(t *testing.T) {
	for name, c := range map[string]struct {
		seconds []int
		want    int
	}{
		"nothing":                                {nil, 0},
		"all in one":                             {[]int{0, 1, 59}, 3},
		"a whole minute apart":                   {[]int{0, 60}, 1},
		"around the edge of a minute":            {[]int{0, 50, 55, 65, 70, 120}, 4},
		"the order of sending is not theirs":     {[]int{70, 11, 65}, 3},
		"the fullest is neither first nor last":  {[]int{0, 100, 101, 102, 300}, 3},
		"at the same instant":                    {[]int{5, 5, 5}, 3},
		"spread out evenly, one more than fits":  {[]int{0, 20, 40, 60, 80}, 3},
		"just inside, where the next one leaves": {[]int{0, 59, 60, 118}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var box outbox
			start := time.Now()
			for _, s := range c.seconds {
				box.mails = append(box.mails, mail{start.Add(time.Duration(s) * time.Second), 1})
			}
			if got := box.fullest(time.Minute); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	list := make([]int, 100)
	for i := range list {
		list[i] = i + 1
	}
	for q, want := range map[float64]int{0: 1, 0.5: 50, 0.99: 99, 0.999: 100, 1: 100} {
		if got := quantile(list, q); got != want {
			t.Errorf("%v: got %d, want %d", q, got, want)
		}
	}
}

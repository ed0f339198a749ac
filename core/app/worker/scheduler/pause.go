package scheduler

import "time"

// pause is the wait after faults in a row, longer each time.
type pause struct {
	first, most time.Duration
	step        time.Duration // the next one's mean; 0: first
}

// Pauses after faults of the store or the queue.
const firstPause, mostPause = 500 * time.Millisecond, 10 * time.Second

// next is the next wait: up to half as long or half as long again by chance.
func (p *pause) next(d *dice) time.Duration {
	if p.step == 0 {
		p.step = p.first
	}
	wait := p.step/2 + time.Duration(d.roll()*float64(p.step))
	p.step = min(p.step*3/2, p.most)
	return wait
}

// reset begins with the first again: what was at fault works.
func (p *pause) reset() { p.step = 0 }

// backoff is the wait after a number of faults in a row.
func backoff(tries int, d *dice) time.Duration {
	p := pause{first: firstPause, most: mostPause}
	for range min(tries-1, 20) {
		p.next(&dice{})
	}
	return p.next(d)
}

// dice is chance that the seed decides (SplitMix64).
type dice struct{ state uint64 }

// roll gives a number from 0 up to 1.
func (d *dice) roll() float64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}

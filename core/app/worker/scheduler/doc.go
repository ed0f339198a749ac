// Package scheduler decides what a worker does next. It is a state machine: Handle
// takes what has happened, with the time, and gives what is to be done. It has no
// goroutine, lock, clock or channel and does no I/O, so that tests and the simulator
// drive it step by step and replay what they have seen. Package worker carries its
// actions out.
//
// # The way of a job
//
//	Received ─► Claim ─► ClaimAnswered ─► Execute ─► Executed ─► Settle ─► SettleAnswered
//	   │                       │                         │
//	   ▼                       ▼                         ▼
//	parked, released,      Answer: ack              HandBack ─► HandedBack
//	or nacked
//
// # Contract
//
// Whoever carries the actions out may take as long as it likes and may fail, but must
// answer each action that has an answer exactly once, in any order:
//
//	Receive             Received
//	Claim               ClaimAnswered
//	Execute             Executed, of each job, also after Cancel
//	Settle              SettleAnswered
//	HandBack            HandedBack
//	Renew               Renewed
//	Look                Looked
//	Answer              Answered
//	Interrupt           Interrupted
//
// SetTimer asks for a Tick at a time; a later SetTimer replaces it. A Tick that comes
// too early or without need has no effect. After Stopped nothing more is asked for, and
// answers that are still to come have no effect.
//
// The scheduler is deterministic: the same events at the same times give the same
// actions in the same order.
package scheduler

module bench/peers/go-pivot

go 1.25

require (
	github.com/benitogf/ko v0.0.0-20260211072652-d48fcf4f8988
	github.com/benitogf/ooo v0.0.0-20260309052559-6cec57597a78
	github.com/gorilla/mux v1.8.1
)

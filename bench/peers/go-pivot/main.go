// A node of a cluster of Go servers: ooo with ko and pivot. Arguments: the leader's host:port, or none
// for the leader itself. The commit of pivot is given when it is built (see ../../kit/peers.ts).
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/benitogf/ko"
	"github.com/benitogf/ooo"
	"github.com/benitogf/ooo/storage"
	"github.com/benitogf/pivot"
	"github.com/gorilla/mux"
)

func main() {
	folder, err := os.MkdirTemp(".", "data-")
	if err != nil {
		log.Fatal(err)
	}
	leader := ""
	if len(os.Args) > 1 {
		leader = os.Args[1]
	}
	server := &ooo.Server{
		Silence: true,
		Router:  mux.NewRouter(),
		Storage: storage.New(storage.LayeredConfig{
			Memory:   storage.NewMemoryLayer(),
			Embedded: &ko.EmbeddedStorage{Path: folder},
		}),
	}
	server = pivot.Setup(server, pivot.Config{
		Keys:            []pivot.Key{{Path: "items/*"}},
		NodesKey:        "nodes/*",
		ClusterURL:      leader,
		AutoSyncOnStart: leader != "",
	})
	server.Start("127.0.0.1:0")
	fmt.Printf("on %s\n", server.Address)
	server.WaitClose()
}

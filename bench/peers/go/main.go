// The Go server ooo with its LevelDB storage ko, as its documentation sets it up.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/benitogf/ko"
	"github.com/benitogf/ooo"
	"github.com/benitogf/ooo/storage"
)

func main() {
	folder, err := os.MkdirTemp(".", "data-")
	if err != nil {
		log.Fatal(err)
	}
	server := &ooo.Server{
		Silence: true,
		Storage: storage.New(storage.LayeredConfig{
			Memory:   storage.NewMemoryLayer(),
			Embedded: &ko.EmbeddedStorage{Path: folder},
		}),
	}
	server.Start("127.0.0.1:0")
	fmt.Printf("on %s\n", server.Address)
	server.WaitClose()
}

// Sends numbered messages with Fluentd's own Go library, each acknowledged before the next: HOST PORT SECONDS [tls].
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	port, _ := strconv.Atoi(os.Args[2])
	seconds, _ := strconv.ParseFloat(os.Args[3], 64)
	network := "tcp"
	if len(os.Args) > 4 {
		network = os.Args[4]
	}
	timeout := 150 * time.Millisecond
	if os.Getenv("STANDWATCH_SANITIZER") != "" {
		timeout = 3 * time.Second
	}
	config := fluent.Config{
		FluentNetwork: network, FluentHost: os.Args[1], FluentPort: port, RequestAck: true, SubSecondPrecision: true,
		Timeout: timeout, RetryWait: 20, MaxRetryWait: 100, MaxRetry: 10000,
	}
	// The library connects again by itself, but not the first time.
	logger, err := fluent.New(config)
	for tries := 0; err != nil && tries < 20; tries++ {
		time.Sleep(100 * time.Millisecond)
		logger, err = fluent.New(config)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	end, count := time.Now().Add(time.Duration(seconds*float64(time.Second))), 0
	for time.Now().Before(end) {
		count++
		record := map[string]interface{}{"message": fmt.Sprintf("from-go %d", count), "level": "warn", "number": count}
		if err := logger.Post("shop.orders", record); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		time.Sleep(5 * time.Millisecond)
	}
	logger.Close()
	// The library tells of broken connections without an end of line.
	fmt.Printf("\n%d\n", count)
}

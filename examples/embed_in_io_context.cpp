// A hub in the service's existing io_context: the hub has no threads, and its hooks run where the
// service's other handlers run.

#include <pushhub/pushhub.hpp>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>

namespace {

// Simulates the service's own work: an event each second that users are notified of.
class Clock {
public:
    Clock(asio::io_context& context, pushhub::PushHub<>& hub) : timer_(context), hub_(hub) {}

    void start() {
        timer_.expires_after(std::chrono::seconds(1));
        timer_.async_wait([this](std::error_code error) {
            if (error) {
                return;  // stopped
            }
            ++seconds_;
            hub_.sendAll("up for " + std::to_string(seconds_) + " s");
            start();
        });
    }

    void stop() { timer_.cancel(); }

private:
    asio::steady_timer timer_;
    pushhub::PushHub<>& hub_;
    long seconds_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context{1};

        pushhub::Options options;
        options.port = argc > 1 ? static_cast<std::uint16_t>(std::stoul(argv[1])) : 8081;
        options.path = "/websocket/{userId}";
        pushhub::PushHub<> hub{options, context};
        hub.onOpen([](pushhub::SessionPtr session) { session->send("welcome"); });
        hub.start();

        Clock clock{context, hub};
        clock.start();

        asio::signal_set signals{context, SIGINT, SIGTERM};
        signals.async_wait([&](std::error_code, int) {
            clock.stop();
            hub.stop();  // here, on the context's own thread, it begins and does not wait
        });

        std::cout << "listening on port " << hub.port() << ", Ctrl-C stops" << std::endl;
        context.run();  // returns when nothing is left to do: the hub and the clock have stopped
    } catch (const std::exception& error) {
        std::cerr << "embed_in_io_context: " << error.what() << '\n';
        return 1;
    }
}

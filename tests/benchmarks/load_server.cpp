// The pushhub side of the benchmarks: a hub that pushes on command, see servers/support.hpp.

#include <unistd.h>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>

#include "servers/support.hpp"

namespace {

class Server {
public:
    explicit Server(const bench::Arguments& arguments)
        : hub_(optionsFor(arguments)), commands_(*this) {
        hub_.onMessage([this](pushhub::SessionPtr session, std::string_view text) {
            if (const auto reply = commands_.handle(text)) {
                session->send(*reply);
            }
        });
        hub_.onError([](pushhub::SessionPtr, std::error_code error, std::string_view what) {
            // Clients that vanish are part of the job; anything else would spoil the figures.
            if (error != std::errc::connection_reset) {
                std::cerr << "load_server: " << what << ": " << error.message() << '\n';
            }
        });
        hub_.start();
        bench::printReady(hub_.port());
    }

    std::vector<std::string> users() { return hub_.userIds(); }

    void sendAll(const std::string& text) { hub_.sendAll(text); }

    void sendOne(const std::string& user, const std::string& text) { hub_.sendOne(user, text); }

    void sendMore(const std::vector<std::string>& users, const std::string& text) {
        hub_.sendMore(users, text);
    }

private:
    static pushhub::Options optionsFor(const bench::Arguments& arguments) {
        pushhub::Options options;
        options.port = arguments.port;
        options.loops = arguments.threads;
        // A burst measures the work, not the limits: nothing may be refused, as with the peers.
        options.maxQueueBytes = std::size_t{1} << 30U;
        options.maxQueueMessages = std::size_t{1} << 22U;
        options.keepRequest = arguments.mode != "lean";
        return options;
    }

    pushhub::PushHub<> hub_;
    bench::Commands<Server> commands_;
};

}  // namespace

int main(int argc, char** argv) {
    const bench::Arguments arguments = bench::parseArguments(argc, argv);
    Server server(arguments);
    for (;;) {
        pause();
    }
}

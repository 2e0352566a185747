// The pushhub side of the benchmarks: a hub that pushes on command, see servers/support.hpp.

#include <unistd.h>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>
#ifdef PUSHHUB_BENCH_TLS
#include <pushhub/transport/asio_tls_transport.hpp>
#endif
#ifdef PUSHHUB_BENCH_DEFLATE
#include <pushhub/deflate.hpp>
#endif

#include <utility>

#include "servers/support.hpp"

namespace {

template <class Transport>
class Server {
public:
    /// What follows the arguments is for the transport.
    template <class... More>
    explicit Server(const bench::Arguments& arguments, More&&... more)
        : hub_(optionsFor(arguments), std::forward<More>(more)...), commands_(*this, arguments) {
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
        options.maxQueueMessages = std::size_t{1} << 21U;
        options.keepRequest = arguments.mode != "lean";
        if (arguments.deflate) {
#ifdef PUSHHUB_BENCH_DEFLATE
            options.compression = pushhub::permessageDeflate();
#else
            bench::refuse("built without zlib");
#endif
        }
        return options;
    }

    pushhub::PushHub<Transport> hub_;
    bench::Commands<Server> commands_;
};

[[noreturn]] void waitForever() {
    for (;;) {
        pause();
    }
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Arguments arguments = bench::parseArguments(argc, argv);
    if (!arguments.tls()) {
        Server<pushhub::AsioTransport> server(arguments);
        waitForever();
    }
#ifdef PUSHHUB_BENCH_TLS
    pushhub::TlsOptions options;
    options.certificates.push_back({arguments.certificate, arguments.key});
    Server<pushhub::AsioTlsTransport> server(arguments, options);
    waitForever();
#else
    bench::refuse("built without OpenSSL");
#endif
}

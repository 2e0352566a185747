// Sends every message back as it came, text as text and binary as binary: the counterpart of
// protocol test suites. Ends on SIGINT or SIGTERM.

#include <pushhub/pushhub.hpp>
#include <pushhub/tls_options.hpp>
#ifdef PUSHHUB_TEST_TLS
#include <pushhub/transport/asio_tls_transport.hpp>
#endif

#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <pthread.h>

namespace {

constexpr std::string_view usage = R"(echo_server: sends every WebSocket message back

  --port PORT           port on 127.0.0.1, 0 for any free one (0)
  --threads N           event loops, 0 for one per core (1)
  --max-message BYTES   largest message taken (65536)
  --tls CERT KEY        TLS, with these PEM files; again for more names
  --client-ca FILE      TLS clients need a certificate from these authorities
  --help                this text
)";

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::uint32_t parseNumber(std::string_view flag, std::string_view value, std::uint32_t least,
                          std::uint32_t most) {
    std::uint32_t number = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    if (value.empty() || error != std::errc{} || stop != end || number < least || number > most) {
        throw UsageError(std::string(flag) + ": '" + std::string(value) +
                         "' is not a number from " + std::to_string(least) + " to " +
                         std::to_string(most));
    }
    return number;
}

struct Flags {
    pushhub::Options options;
    pushhub::TlsOptions tls;
};

Flags parseFlags(int argc, char** argv) {
    Flags flags;
    pushhub::Options& options = flags.options;
    options.port = 0;
    options.loops = 1;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name != "--port" && name != "--threads" && name != "--max-message" && name != "--tls" &&
            name != "--client-ca") {
            throw UsageError("'" + std::string(name) + "' is not a flag");
        }
        if (i + 1 == argc || (name == "--tls" && i + 2 == argc)) {
            throw UsageError(std::string(name) + " needs a value");
        }
        const std::string_view value = argv[i + 1];
        if (name == "--port") {
            options.port = static_cast<std::uint16_t>(parseNumber(name, value, 0, 65535));
        } else if (name == "--threads") {
            options.loops = parseNumber(name, value, 0, 256);
        } else if (name == "--tls") {
            flags.tls.certificates.push_back({argv[i + 1], argv[i + 2]});
            ++i;
        } else if (name == "--client-ca") {
            flags.tls.clientCertificates = pushhub::ClientCertificates::required;
            flags.tls.clientCaFile = value;
        } else {
            options.maxMessageSize = parseNumber(name, value, 1, 1U << 30U);
        }
    }
    // No echo is ever refused: a client is not read from while half of this waits for it, and the
    // other half has room for what one turn of the loop may read, be it one byte more of the
    // largest message or some 44000 empty ones.
    options.maxQueueBytes = 2 * options.maxMessageSize + 1024 * 1024;
    options.maxQueueMessages = 128 * 1024;
    return flags;
}

template <class Hub>
int serve(Hub& hub, const char* scheme, const pushhub::Options& options) {
    // Blocked before the hub's threads exist, which inherit it: only sigwait below takes them.
    sigset_t stopSignals;
    sigemptyset(&stopSignals);
    sigaddset(&stopSignals, SIGINT);
    sigaddset(&stopSignals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stopSignals, nullptr);

    hub.onMessage([](pushhub::SessionPtr session, pushhub::Message message) {
        const pushhub::SendResult result = message.type == pushhub::MessageType::text
                                               ? session->send(message.data)
                                               : session->sendBinary(message.data);
        if (!result && result.closing == 0) {
            session->close(pushhub::CloseCode::tryAgainLater, "echo not taken");
        }
    });
    hub.start();
    std::cout << "listening on " << scheme << "://" << options.address << ':' << hub.port()
              << options.path << std::endl;

    int signal = 0;
    sigwait(&stopSignals, &signal);
    hub.stop();
    return 0;
}

int serve(const Flags& flags) {
    if (flags.tls.certificates.empty()) {
        pushhub::PushHub<> hub(flags.options);
        return serve(hub, "ws", flags.options);
    }
#ifdef PUSHHUB_TEST_TLS
    pushhub::PushHub<pushhub::AsioTlsTransport> hub(flags.options, flags.tls);
    return serve(hub, "wss", flags.options);
#else
    throw UsageError("--tls: built without OpenSSL");
#endif
}

}  // namespace

int main(int argc, char** argv) {
    try {
        for (int i = 1; i < argc; ++i) {
            if (std::string_view(argv[i]) == "--help") {
                std::cout << usage;
                return 0;
            }
        }
        return serve(parseFlags(argc, argv));
    } catch (const UsageError& error) {
        std::cerr << "echo_server: " << error.what() << " (--help tells more)\n";
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "echo_server: " << error.what() << '\n';
        return 1;
    }
}

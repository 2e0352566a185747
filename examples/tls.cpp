// Pushes over TLS: tls CERTIFICATE KEY [PORT], two PEM files. SIGHUP reads them again, for example
// after a renewal, without closing any session. To try it with a self-signed certificate:
//
//   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30
//       -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_tls_transport.hpp>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>

#include <pthread.h>

int main(int argc, char** argv) {
    if (argc < 3) {
        std::cerr << "usage: tls CERTIFICATE KEY [PORT]\n";
        return 2;
    }
    try {
        sigset_t signals;  // blocked before the hub's threads exist, which inherit it
        sigemptyset(&signals);
        for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
            sigaddset(&signals, signal);
        }
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);

        pushhub::Options options;
        options.port = static_cast<std::uint16_t>(argc > 3 ? std::atoi(argv[3]) : 8443);
        pushhub::TlsOptions tlsOptions;
        tlsOptions.certificates = {{argv[1], argv[2]}};

        pushhub::PushHub<pushhub::AsioTlsTransport> hub(options, tlsOptions);
        hub.onMessage(
            [](pushhub::SessionPtr session, std::string_view text) { session->send(text); });
        hub.start();
        std::cout << "listening on wss://" << options.address << ':' << hub.port() << options.path
                  << std::endl;

        for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGHUP;) {
            try {
                hub.transport().reload(tlsOptions);
                hub.sendAll("the certificate is new");
            } catch (const std::invalid_argument& error) {
                std::cerr << "the old certificate stays: " << error.what() << '\n';
            }
        }
        hub.stop();
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "tls: " << error.what() << '\n';
        return 1;
    }
}

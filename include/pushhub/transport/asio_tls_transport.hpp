#pragma once

#include <memory>
#include <utility>

#include <pushhub/tls_options.hpp>
#include <pushhub/transport/asio_tls_connection.hpp>
#include <pushhub/transport/asio_transport.hpp>

namespace pushhub {

/// WebSocket over TLS 1.2 and 1.3, by OpenSSL: `PushHub<AsioTlsTransport> hub(options, tlsOptions)`
/// or `hub(options, tlsOptions, ioContext)`. Apart from the encryption it is an `AsioTransport`.
///
/// Also a socket that `adopt` takes over begins with TLS: what was read from it is part of that.
///
/// The TLS handshake is part of the time in `Options::handshakeTimeout`; a client that fails in it
/// is cut. `HubStats::handshakesTlsFailed` counts it, and the log says why. A client that speaks
/// plain HTTP gets 400.
class AsioTlsTransport : public AsioTransport {
public:
    /// Throws std::invalid_argument that names the option, its value and the reason.
    AsioTlsTransport(const Options& options, const TlsOptions& tlsOptions)
        : AsioTlsTransport(options, tlsOptions, nullptr) {}

    /// On the host's io_context.
    AsioTlsTransport(const Options& options, const TlsOptions& tlsOptions,
                     detail::net::io_context& context)
        : AsioTlsTransport(options, tlsOptions, &context) {}

    /// TLS handshakes that begin from now on follow `tlsOptions`, whose files are read again.
    /// Sessions go on as they are; their clients cannot resume TLS with what they got before.
    /// Throws std::invalid_argument, and then nothing has changed. Any thread.
    void reload(const TlsOptions& tlsOptions) { slot_->set(tlsOptions); }

private:
    using Slot = std::shared_ptr<detail::TlsContextSlot>;

    AsioTlsTransport(const Options& options, const TlsOptions& tlsOptions,
                     detail::net::io_context* context)
        : AsioTlsTransport(options, context, std::make_shared<detail::TlsContextSlot>(tlsOptions)) {
    }

    AsioTlsTransport(const Options& options, detail::net::io_context* context, Slot slot)
        : AsioTransport(options, context,
                        [slot](detail::RefPtr<detail::AsioLoop> loop, SessionId id,
                               detail::Socket socket, const detail::Tcp::endpoint& remote) {
                            return detail::makeRef<detail::AsioTlsConnection>(
                                std::move(loop), id, std::move(socket), remote, slot);
                        }),
          slot_(std::move(slot)) {}

    const Slot slot_;
};

}  // namespace pushhub

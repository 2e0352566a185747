#pragma once

#include <memory>
#include <utility>

#include <pushhub/tls_options.hpp>
#include <pushhub/transport/asio_tls_connection.hpp>
#include <pushhub/transport/asio_transport.hpp>

namespace pushhub {

/// WebSocket over TLS 1.2 and 1.3, with OpenSSL: `PushHub<AsioTlsTransport> hub(options,
/// tlsOptions)` or `hub(options, tlsOptions, ioContext)`. Apart from the encryption it is an
/// `AsioTransport`.
///
/// A socket taken over by `adopt` also begins with TLS: the bytes read from it are part of the TLS
/// stream.
///
/// `Options::handshakeTimeout` includes the TLS handshake; if the handshake fails, the connection
/// is aborted, `HubStats::handshakesTlsFailed` counts it, and the log has the reason. A client that
/// sends plain HTTP gets 400.
class AsioTlsTransport : public AsioTransport {
public:
    /// Throws std::invalid_argument naming the option, its value and the reason.
    AsioTlsTransport(const Options& options, const TlsOptions& tlsOptions)
        : AsioTlsTransport(options, tlsOptions, nullptr) {}

    /// Runs on the host's io_context.
    AsioTlsTransport(const Options& options, const TlsOptions& tlsOptions,
                     detail::net::io_context& context)
        : AsioTlsTransport(options, tlsOptions, &context) {}

    /// Applies `tlsOptions` to all TLS handshakes that begin from now on, and reads its files
    /// again. Existing sessions continue unchanged; their clients cannot resume TLS with earlier
    /// tickets. On error throws std::invalid_argument and changes nothing. Any thread.
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

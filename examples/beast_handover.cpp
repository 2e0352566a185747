// A Boost.Beast server that keeps serving HTTP and hands over WebSockets to pushhub: it reads the
// request as usual, and hands over the socket together with the bytes read from it. Built with
// PUSHHUB_BOOST_ASIO, so that both use the same Asio, and here also the same io_context.

#include <pushhub/pushhub.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = boost::asio::ip::tcp;

namespace {

struct HttpConnection {
    beast::tcp_stream stream;
    beast::flat_buffer buffer{};
    http::request<http::string_body> request{};
    http::response<http::string_body> response{};
};

void answer(const std::shared_ptr<HttpConnection>& connection, pushhub::PushHub<>& hub) {
    if (beast::websocket::is_upgrade(connection->request)) {
        // The hub needs the request itself, and any bytes that the client has sent after it.
        std::ostringstream received;
        received << connection->request << beast::make_printable(connection->buffer.data());
        connection->stream.expires_never();
        hub.transport().adopt(connection->stream.release_socket().release(), received.str());
        return;
    }
    connection->response.body() = std::to_string(hub.sessionCount()) + " sessions\n";
    connection->response.keep_alive(false);
    connection->response.prepare_payload();
    http::async_write(connection->stream, connection->response, [connection](auto...) {});
}

void accept(Tcp::acceptor& acceptor, pushhub::PushHub<>& hub) {
    acceptor.async_accept([&](beast::error_code error, Tcp::socket socket) {
        if (!error) {
            const std::shared_ptr<HttpConnection> connection(
                new HttpConnection{beast::tcp_stream(std::move(socket))});
            connection->stream.expires_after(std::chrono::seconds(10));
            http::async_read(connection->stream, connection->buffer, connection->request,
                             [connection, &hub](beast::error_code failed, std::size_t) {
                                 if (!failed) {
                                     answer(connection, hub);
                                 }
                             });
        }
        accept(acceptor, hub);
    });
}

}  // namespace

int main(int argc, char** argv) {
    boost::asio::io_context context{1};

    pushhub::Options options;
    options.port = 0;  // a port of the hub's own, on loopback, that nobody needs to know
    pushhub::PushHub<> hub{options, context};
    hub.onMessage([](pushhub::SessionPtr session, std::string_view text) { session->send(text); });
    hub.start();

    const auto port = static_cast<std::uint16_t>(argc > 1 ? std::stoul(argv[1]) : 8081);
    Tcp::acceptor acceptor(context, {boost::asio::ip::make_address("127.0.0.1"), port});
    accept(acceptor, hub);
    std::cout << "listening on ws://" << acceptor.local_endpoint() << "/websocket/{userId}"
              << std::endl;
    context.run();
}

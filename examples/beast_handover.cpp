// A server on Boost.Beast that has its HTTP already and lets pushhub have the WebSockets: it reads
// the request as ever, and hands over the socket together with what it has read from it. Built with
// PUSHHUB_BOOST_ASIO, so that both use the same Asio, and here the same io_context too.

#include <pushhub/pushhub.hpp>

#include <boost/asio/io_context.hpp>
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

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
public:
    HttpConnection(Tcp::socket socket, pushhub::PushHub<>& hub)
        : stream_(std::move(socket)), hub_(hub) {}

    void read() {
        stream_.expires_after(std::chrono::seconds(10));
        http::async_read(stream_, buffer_, request_,
                         [self = shared_from_this()](beast::error_code error, std::size_t) {
                             if (!error) {
                                 self->answer();
                             }
                         });
    }

private:
    void answer() {
        if (beast::websocket::is_upgrade(request_)) {
            handOver();
            return;
        }
        response_ = {http::status::ok, request_.version()};
        response_.set(http::field::content_type, "text/plain");
        response_.body() = std::to_string(hub_.sessionCount()) + " sessions\n";
        response_.keep_alive(false);
        response_.prepare_payload();
        http::async_write(stream_, response_,
                          [self = shared_from_this()](beast::error_code, std::size_t) {});
    }

    // The hub wants to see the request itself, and what the client has sent behind it.
    void handOver() {
        std::ostringstream received;
        received << request_ << beast::make_printable(buffer_.data());
        stream_.expires_never();
        hub_.transport().adopt(stream_.release_socket().release(), received.str());
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    http::request<http::string_body> request_;
    http::response<http::string_body> response_;
    pushhub::PushHub<>& hub_;
};

void accept(Tcp::acceptor& acceptor, pushhub::PushHub<>& hub) {
    acceptor.async_accept([&](beast::error_code error, Tcp::socket socket) {
        if (!error) {
            std::make_shared<HttpConnection>(std::move(socket), hub)->read();
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

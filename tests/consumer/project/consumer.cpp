// Starts a hub, connects to it over a socket, and receives what it pushes.

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include <pushhub/pushhub.hpp>

namespace {

int run() {
    pushhub::Options options;
    options.port = 0;
    options.loops = 1;
    pushhub::PushHub<> hub(options);
    hub.onOpen(
        [](const pushhub::SessionPtr& session) { session->send("hello " + session->userId()); });
    hub.start();

    asio::io_context context;
    asio::ip::tcp::socket socket(context);
    socket.connect({asio::ip::make_address("127.0.0.1"), hub.port()});
    asio::write(socket,
                asio::buffer(std::string_view("GET /websocket/0002 HTTP/1.1\r\n"
                                              "Host: localhost\r\n"
                                              "Upgrade: websocket\r\n"
                                              "Connection: Upgrade\r\n"
                                              "Sec-WebSocket-Version: 13\r\n"
                                              "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                              "\r\n")));
    std::string received;
    const std::size_t head = asio::read_until(socket, asio::dynamic_buffer(received), "\r\n\r\n");
    received.erase(0, head);

    const std::string_view expected = "\x81\x0ahello 0002";
    if (received.size() < expected.size()) {
        asio::read(socket, asio::dynamic_buffer(received),
                   asio::transfer_exactly(expected.size() - received.size()));
    }
    std::cout << "pushhub " << pushhub::version << " pushed: " << received.substr(2) << '\n';
    return received == expected ? 0 : 1;
}

}  // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}

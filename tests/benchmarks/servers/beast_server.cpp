// Boost.Beast's WebSocket stream in the shape of its chat example: a shared payload, and for each
// session a queue with one asynchronous write under way.

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#ifdef PUSHHUB_BENCH_TLS
#include <boost/asio/ssl.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket/ssl.hpp>
#endif
#include <deque>
#include <memory>
#include <mutex>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "support.hpp"

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using asio::ip::tcp;

template <class Stream>
class Session;
using Payload = std::shared_ptr<const std::string>;

/// `Stream` is what carries the bytes, made from a socket and what `more` has.
template <class Stream>
class Server {
public:
    using Member = Session<Stream>;

    template <class... More>
    explicit Server(const bench::Arguments& arguments, More&... more);

    std::vector<std::string> users();
    void sendAll(const std::string& text);
    void sendOne(const std::string& user, const std::string& text);
    void sendMore(const std::vector<std::string>& users, const std::string& text);

    void add(const std::shared_ptr<Member>& session);
    void remove(const Member& session);

    bench::Commands<Server> commands;
    const bool deflate;

private:
    template <class... More>
    void accept(More&... more);
    std::shared_ptr<Member> find(const std::string& user);

    asio::io_context context_;
    tcp::acceptor acceptor_;
    std::mutex mutex_;
    std::unordered_map<std::string, std::weak_ptr<Member>> users_;
};

template <class Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
public:
    template <class... More>
    Session(Server<Stream>& server, tcp::socket socket, More&... more)
        : server_(server), stream_(std::move(socket), more...) {}

    ~Session() { server_.remove(*this); }

    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const std::string& user() const { return user_; }

    void start() {
        boost::system::error_code ignored;
        auto& socket = beast::get_lowest_layer(stream_);
        socket.set_option(tcp::no_delay(true), ignored);
        if (server_.deflate) {
            websocket::permessage_deflate options;
            options.server_enable = true;
            stream_.set_option(options);
        }
        request_ = std::make_unique<Request>();
        if constexpr (std::is_same_v<Stream, tcp::socket>) {
            readRequest();
        } else {
            stream_.next_layer().async_handshake(
                std::decay_t<Stream>::server,
                [self = this->shared_from_this()](beast::error_code error) {
                    if (!error) {
                        self->readRequest();
                    }
                });
        }
    }

    void send(const Payload& payload) {
        asio::post(stream_.get_executor(), [self = this->shared_from_this(), payload] {
            self->queue_.push_back(payload);
            if (self->queue_.size() == 1) {
                self->write();
            }
        });
    }

private:
    void readRequest() {
        http::async_read(stream_.next_layer(), request_->buffer, request_->message,
                         [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                             if (!error) {
                                 self->upgrade();
                             }
                         });
    }

    struct Request {
        beast::flat_buffer buffer;
        http::request<http::empty_body> message;
    };

    void upgrade() {
        user_ = std::string(
            bench::userOf({request_->message.target().data(), request_->message.target().size()}));
        stream_.async_accept(request_->message,
                             [self = this->shared_from_this()](beast::error_code error) {
                                 if (error) {
                                     return;
                                 }
                                 self->request_.reset();
                                 self->stream_.text(true);
                                 self->server_.add(self);
                                 self->read();
                             });
    }

    void read() {
        stream_.async_read(
            buffer_, [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                if (error) {
                    return;
                }
                const auto data = self->buffer_.data();
                const std::string_view text(static_cast<const char*>(data.data()), data.size());
                if (const auto reply = self->server_.commands.handle(text)) {
                    self->send(std::make_shared<const std::string>(*reply));
                }
                self->buffer_.consume(data.size());
                self->read();
            });
    }

    void write() {
        stream_.async_write(
            asio::buffer(*queue_.front()),
            [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                if (error) {
                    return;
                }
                self->queue_.pop_front();
                if (!self->queue_.empty()) {
                    self->write();
                }
            });
    }

    Server<Stream>& server_;
    websocket::stream<Stream> stream_;
    std::unique_ptr<Request> request_;
    std::string user_;
    beast::flat_buffer buffer_;
    std::deque<Payload> queue_;
};

template <class Stream>
template <class... More>
Server<Stream>::Server(const bench::Arguments& arguments, More&... more)
    : commands(*this, arguments),
      deflate(arguments.deflate),
      context_(static_cast<int>(arguments.threads)),
      acceptor_(context_, {asio::ip::make_address("127.0.0.1"), arguments.port}) {
    accept(more...);
    bench::printReady(acceptor_.local_endpoint().port());
    for (unsigned i = 1; i < arguments.threads; ++i) {
        std::thread([this] { context_.run(); }).detach();
    }
    context_.run();
}

template <class Stream>
template <class... More>
void Server<Stream>::accept(More&... more) {
    acceptor_.async_accept(
        asio::make_strand(context_), [this, &more...](beast::error_code error, tcp::socket socket) {
            if (!error) {
                std::make_shared<Member>(*this, std::move(socket), more...)->start();
            }
            accept(more...);
        });
}

template <class Stream>
void Server<Stream>::add(const std::shared_ptr<Member>& session) {
    const std::lock_guard lock(mutex_);
    users_[session->user()] = session;
}

template <class Stream>
void Server<Stream>::remove(const Member& session) {
    const std::lock_guard lock(mutex_);
    users_.erase(session.user());
}

template <class Stream>
std::vector<std::string> Server<Stream>::users() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& entry : users_) {
        names.push_back(entry.first);
    }
    return names;
}

template <class Stream>
auto Server<Stream>::find(const std::string& user) -> std::shared_ptr<Member> {
    const std::lock_guard lock(mutex_);
    const auto found = users_.find(user);
    return found == users_.end() ? nullptr : found->second.lock();
}

template <class Stream>
void Server<Stream>::sendAll(const std::string& text) {
    const auto payload = std::make_shared<const std::string>(text);
    // Sessions are collected first: the last reference may go while sending, and takes the lock.
    std::vector<std::shared_ptr<Member>> sessions;
    {
        const std::lock_guard lock(mutex_);
        sessions.reserve(users_.size());
        for (const auto& entry : users_) {
            if (auto session = entry.second.lock()) {
                sessions.push_back(std::move(session));
            }
        }
    }
    for (const auto& session : sessions) {
        session->send(payload);
    }
}

template <class Stream>
void Server<Stream>::sendOne(const std::string& user, const std::string& text) {
    if (const auto session = find(user)) {
        session->send(std::make_shared<const std::string>(text));
    }
}

template <class Stream>
void Server<Stream>::sendMore(const std::vector<std::string>& users, const std::string& text) {
    const auto payload = std::make_shared<const std::string>(text);
    for (const std::string& user : users) {
        if (const auto session = find(user)) {
            session->send(payload);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Arguments arguments = bench::parseArguments(argc, argv);
    if (!arguments.tls()) {
        Server<tcp::socket> server(arguments);
        return 0;
    }
#ifdef PUSHHUB_BENCH_TLS
    asio::ssl::context tls(asio::ssl::context::tls_server);
    tls.use_certificate_chain_file(arguments.certificate);
    tls.use_private_key_file(arguments.key, asio::ssl::context::pem);
    Server<beast::ssl_stream<tcp::socket>> server(arguments, tls);
#else
    bench::refuse("built without OpenSSL");
#endif
}

// Boost.Beast's WebSocket stream in the shape of its chat example: a shared payload, and for each
// session a queue with one asynchronous write under way.

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "support.hpp"

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using asio::ip::tcp;

class Session;
using Payload = std::shared_ptr<const std::string>;

class Server {
public:
    explicit Server(const bench::Arguments& arguments);

    std::vector<std::string> users();
    void sendAll(const std::string& text);
    void sendOne(const std::string& user, const std::string& text);
    void sendMore(const std::vector<std::string>& users, const std::string& text);

    void add(const std::shared_ptr<Session>& session);
    void remove(const Session& session);

    bench::Commands<Server> commands;

private:
    void accept();
    std::shared_ptr<Session> find(const std::string& user);

    asio::io_context context_;
    tcp::acceptor acceptor_;
    std::mutex mutex_;
    std::unordered_map<std::string, std::weak_ptr<Session>> users_;
};

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(Server& server, tcp::socket socket) : server_(server), stream_(std::move(socket)) {}

    ~Session() { server_.remove(*this); }

    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const std::string& user() const { return user_; }

    void start() {
        boost::system::error_code ignored;
        stream_.next_layer().set_option(tcp::no_delay(true), ignored);
        request_ = std::make_unique<Request>();
        http::async_read(stream_.next_layer(), request_->buffer, request_->message,
                         [self = shared_from_this()](beast::error_code error, std::size_t) {
                             if (!error) {
                                 self->upgrade();
                             }
                         });
    }

    void send(const Payload& payload) {
        asio::post(stream_.get_executor(), [self = shared_from_this(), payload] {
            self->queue_.push_back(payload);
            if (self->queue_.size() == 1) {
                self->write();
            }
        });
    }

private:
    struct Request {
        beast::flat_buffer buffer;
        http::request<http::empty_body> message;
    };

    void upgrade() {
        user_ = std::string(
            bench::userOf({request_->message.target().data(), request_->message.target().size()}));
        stream_.async_accept(request_->message,
                             [self = shared_from_this()](beast::error_code error) {
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
            buffer_, [self = shared_from_this()](beast::error_code error, std::size_t) {
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
        stream_.async_write(asio::buffer(*queue_.front()),
                            [self = shared_from_this()](beast::error_code error, std::size_t) {
                                if (error) {
                                    return;
                                }
                                self->queue_.pop_front();
                                if (!self->queue_.empty()) {
                                    self->write();
                                }
                            });
    }

    Server& server_;
    websocket::stream<tcp::socket> stream_;
    std::unique_ptr<Request> request_;
    std::string user_;
    beast::flat_buffer buffer_;
    std::deque<Payload> queue_;
};

Server::Server(const bench::Arguments& arguments)
    : commands(*this),
      context_(static_cast<int>(arguments.threads)),
      acceptor_(context_, {asio::ip::make_address("127.0.0.1"), arguments.port}) {
    accept();
    bench::printReady(acceptor_.local_endpoint().port());
    for (unsigned i = 1; i < arguments.threads; ++i) {
        std::thread([this] { context_.run(); }).detach();
    }
    context_.run();
}

void Server::accept() {
    acceptor_.async_accept(asio::make_strand(context_),
                           [this](beast::error_code error, tcp::socket socket) {
                               if (!error) {
                                   std::make_shared<Session>(*this, std::move(socket))->start();
                               }
                               accept();
                           });
}

void Server::add(const std::shared_ptr<Session>& session) {
    const std::lock_guard lock(mutex_);
    users_[session->user()] = session;
}

void Server::remove(const Session& session) {
    const std::lock_guard lock(mutex_);
    users_.erase(session.user());
}

std::vector<std::string> Server::users() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& entry : users_) {
        names.push_back(entry.first);
    }
    return names;
}

std::shared_ptr<Session> Server::find(const std::string& user) {
    const std::lock_guard lock(mutex_);
    const auto found = users_.find(user);
    return found == users_.end() ? nullptr : found->second.lock();
}

void Server::sendAll(const std::string& text) {
    const auto payload = std::make_shared<const std::string>(text);
    // Sessions are collected first: the last reference may go while sending, and takes the lock.
    std::vector<std::shared_ptr<Session>> sessions;
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

void Server::sendOne(const std::string& user, const std::string& text) {
    if (const auto session = find(user)) {
        session->send(std::make_shared<const std::string>(text));
    }
}

void Server::sendMore(const std::vector<std::string>& users, const std::string& text) {
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
    Server server(arguments);
}

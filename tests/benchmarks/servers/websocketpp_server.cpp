// WebSocket++'s own server, used as its documentation shows: a set of connections under a mutex,
// endpoint.send() from the business thread. C++17 only: its headers do not compile as C++20.

#define ASIO_STANDALONE
#define _WEBSOCKETPP_CPP11_STL_

#include <map>
#include <memory>
#include <mutex>
#include <type_traits>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>
#ifdef PUSHHUB_BENCH_TLS
#include <websocketpp/config/asio.hpp>
#endif
#ifdef PUSHHUB_BENCH_DEFLATE
#include <websocketpp/extensions/permessage_deflate/enabled.hpp>
#endif

#include "support.hpp"

namespace {

// Like the library's own configuration, without its log: nobody measures a log here.
template <class Base>
struct Silent : Base {
    using type = Silent;
    static const websocketpp::log::level elog_level = websocketpp::log::elevel::none;
    static const websocketpp::log::level alog_level = websocketpp::log::alevel::none;
};

#ifdef PUSHHUB_BENCH_DEFLATE
template <class Base>
struct Compressing : Silent<Base> {
    using type = Compressing;
    struct permessage_deflate_config {};
    using permessage_deflate_type =
        websocketpp::extensions::permessage_deflate::enabled<permessage_deflate_config>;
};
#endif

using websocketpp::connection_hdl;

template <class Config>
class Server {
    using Endpoint = websocketpp::server<Config>;

public:
    explicit Server(const bench::Arguments& arguments) : commands_(*this, arguments) {
#ifdef PUSHHUB_BENCH_TLS
        if constexpr (std::is_base_of_v<websocketpp::config::asio_tls, Config>) {
            const auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls);
            context->use_certificate_chain_file(arguments.certificate);
            context->use_private_key_file(arguments.key, asio::ssl::context::pem);
            endpoint_.set_tls_init_handler([context](const connection_hdl&) { return context; });
        }
#endif
        endpoint_.clear_access_channels(websocketpp::log::alevel::all);
        endpoint_.clear_error_channels(websocketpp::log::elevel::all);
        endpoint_.init_asio();
        endpoint_.set_reuse_addr(true);
        endpoint_.set_listen_backlog(1024);
        endpoint_.set_open_handler([this](connection_hdl handle) {
            const auto connection = endpoint_.get_con_from_hdl(handle);
            asio::error_code ignored;
            connection->get_raw_socket().lowest_layer().set_option(asio::ip::tcp::no_delay(true),
                                                                   ignored);
            const std::lock_guard lock(mutex_);
            users_[std::string(bench::userOf(connection->get_resource()))] = handle;
        });
        endpoint_.set_close_handler([this](connection_hdl handle) {
            const auto connection = endpoint_.get_con_from_hdl(handle);
            const std::lock_guard lock(mutex_);
            users_.erase(std::string(bench::userOf(connection->get_resource())));
        });
        endpoint_.set_message_handler(
            [this](connection_hdl handle, typename Endpoint::message_ptr message) {
                if (const auto reply = commands_.handle(message->get_payload())) {
                    send(handle, *reply);
                }
            });
        endpoint_.listen("127.0.0.1", std::to_string(arguments.port));
        endpoint_.start_accept();
        asio::error_code ignored;
        bench::printReady(endpoint_.get_local_endpoint(ignored).port());
        for (unsigned i = 1; i < arguments.threads; ++i) {
            std::thread([this] { endpoint_.run(); }).detach();
        }
        endpoint_.run();
    }

    std::vector<std::string> users() {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> names;
        for (const auto& entry : users_) {
            names.push_back(entry.first);
        }
        return names;
    }

    void sendAll(const std::string& text) {
        const std::lock_guard lock(mutex_);
        for (const auto& entry : users_) {
            send(entry.second, text);
        }
    }

    void sendOne(const std::string& user, const std::string& text) {
        const std::lock_guard lock(mutex_);
        const auto found = users_.find(user);
        if (found != users_.end()) {
            send(found->second, text);
        }
    }

    void sendMore(const std::vector<std::string>& users, const std::string& text) {
        for (const std::string& user : users) {
            sendOne(user, text);
        }
    }

private:
    void send(const connection_hdl& handle, const std::string& text) {
        websocketpp::lib::error_code ignored;
        endpoint_.send(handle, text, websocketpp::frame::opcode::text, ignored);
    }

    Endpoint endpoint_;
    std::mutex mutex_;
    std::map<std::string, connection_hdl> users_;
    bench::Commands<Server> commands_;
};

template <class Base>
void serve(const bench::Arguments& arguments) {
    if (!arguments.deflate) {
        Server<Silent<Base>> server(arguments);
        return;
    }
#ifdef PUSHHUB_BENCH_DEFLATE
    Server<Compressing<Base>> server(arguments);
#else
    bench::refuse("built without zlib");
#endif
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Arguments arguments = bench::parseArguments(argc, argv);
    if (!arguments.tls()) {
        serve<websocketpp::config::asio>(arguments);
        return 0;
    }
#ifdef PUSHHUB_BENCH_TLS
    serve<websocketpp::config::asio_tls>(arguments);
#else
    bench::refuse("built without OpenSSL");
#endif
}

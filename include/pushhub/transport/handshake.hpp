#pragma once

#include <atomic>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/detail/ref_ptr.hpp>
#include <pushhub/detail/task.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>

namespace pushhub {

/// Optional content of the 101 response.
struct UpgradeAnswer {
    std::string subprotocol;  ///< One of those the client offered, or empty.
    std::vector<std::pair<std::string, std::string>> headers{};
    bool compress = true;  ///< Accept the client's offer of compression, if the hub has it.
};

/// A client's request to open a session, to be decided once: immediately, or later from any thread.
class PendingHandshake final : public detail::RefCounted<PendingHandshake> {
public:
    PendingHandshake(Connection& connection, HttpRequest request);
    ~PendingHandshake();

    const HttpRequest& request() const noexcept { return request_; }
    Connection& connection() const noexcept { return *connection_; }

    /// Moves the request out, to keep it. For the decision, on the loop.
    HttpRequest takeRequest() noexcept { return std::move(request_); }
    void giveBack(HttpRequest request) noexcept { request_ = std::move(request); }

    /// Exists while the hook that decides is running.
    class InHook {
    public:
        explicit InHook(PendingHandshake& pending) noexcept : pending_(&pending) {
            pending.inHook_ = true;
        }
        InHook(const InHook&) = delete;
        InHook& operator=(const InHook&) = delete;
        ~InHook() { pending_->endHook(); }

    private:
        const detail::RefPtr<PendingHandshake> pending_;
    };

    /// Runs `decision` on the connection's loop: immediately if this is its thread. Only the first
    /// decision counts; after it, or if the client has gone, returns `Errc::handshakeAnswered`. Any
    /// thread.
    template <class Decision>
    std::error_code decide(Decision decision) {
        return run(detail::makeTask(std::move(decision)), true);
    }

    /// The same for the application's code, inside which the decision never runs: in a hook it runs
    /// after the hook has returned.
    template <class Decision>
    std::error_code decideLater(Decision decision) {
        return run(detail::makeTask(std::move(decision)), false);
    }

    /// Refuses with an HTTP response and closes the connection. Otherwise like `decide`.
    std::error_code reject(HttpResponse response);

    /// The connection is lost: from now on a decision is too late.
    void abandon() noexcept { decided_.store(true); }
    bool decided() const noexcept { return decided_.load(); }

    /// The client has stopped sending: it can be refused, but not accepted. On the loop.
    void endClient() noexcept { clientEnded_.store(true); }
    bool clientEnded() const noexcept { return clientEnded_.load(); }

private:
    std::error_code run(detail::TaskPtr decision, bool atOnce);
    void endHook() noexcept;

    const detail::RefPtr<Connection> connection_;
    HttpRequest request_;
    detail::TaskPtr waiting_;  // for the end of the hook
    bool inHook_ = false;
    std::atomic<bool> decided_{false};
    std::atomic<bool> clientEnded_{false};
};

}  // namespace pushhub

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

/// What the 101 answer says beside the obligatory.
struct UpgradeAnswer {
    std::string subprotocol;  ///< One of those the client asked for, or none.
    std::vector<std::pair<std::string, std::string>> headers{};
    bool compress = true;  ///< Take the client's offer of compression, if the hub has that.
};

/// A client's request to open a session, to be decided once: at once, or later from any thread.
class PendingHandshake final : public detail::RefCounted<PendingHandshake> {
public:
    PendingHandshake(Connection& connection, HttpRequest request);
    ~PendingHandshake();

    const HttpRequest& request() const noexcept { return request_; }
    Connection& connection() const noexcept { return *connection_; }

    /// Takes the request away, to keep it. For whoever decides, on the loop.
    HttpRequest takeRequest() noexcept { return std::move(request_); }
    void giveBack(HttpRequest request) noexcept { request_ = std::move(request); }

    /// While one lives, the hook runs that is asked to decide.
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

    /// Runs `decision` on the connection's loop: at once if this is its thread. Only the first
    /// decision counts; after it, or if the client has gone, `Errc::handshakeAnswered`. Any thread.
    template <class Decision>
    std::error_code decide(Decision decision) {
        return run(detail::makeTask(std::move(decision)), true);
    }

    /// The same for the host's code, in which nothing of the decision runs: in a hook it runs once
    /// that has returned.
    template <class Decision>
    std::error_code decideLater(Decision decision) {
        return run(detail::makeTask(std::move(decision)), false);
    }

    /// Refuses with an HTTP answer and closes the connection. Otherwise like `decide`.
    std::error_code reject(HttpResponse response);

    /// The connection has gone: from now on a decision is too late.
    void abandon() noexcept { decided_.store(true); }
    bool decided() const noexcept { return decided_.load(); }

    /// The client sends no more: it can be refused, and not be accepted. On the loop.
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

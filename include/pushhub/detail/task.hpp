#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace pushhub::detail {

/// A function without arguments that is called once. Unlike `std::function` it may hold what cannot
/// be copied, and it costs a host's compiler little.
class Task {
public:
    virtual ~Task() = default;
    virtual void operator()() = 0;
};

using TaskPtr = std::unique_ptr<Task>;

/// Throws std::bad_alloc, and then `function` is as it was.
template <class Function>
TaskPtr makeTask(Function&& function) {
    class Made final : public Task {
    public:
        explicit Made(Function&& made) : function_(std::forward<Function>(made)) {}
        void operator()() override { function_(); }

    private:
        std::decay_t<Function> function_;
    };
    return TaskPtr(new Made(std::forward<Function>(function)));
}

}  // namespace pushhub::detail

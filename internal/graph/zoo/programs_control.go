package zoo

import (
	"gorgonia.org/gorgonia"
)

// control are networks of reinforcement learning.
func control() []Case {
	body := func(b *build) *gorgonia.Node { return relu(b.linear("body", b.input("state", 3, 4), 6)) }
	return []Case{
		{Name: "dqn", Build: func() *Model {
			b := start()
			q := b.linear("q", body(b), 2)
			taken := sum(had(q, b.oneHot("action", 3, 2)), 1)
			return b.with(mse(taken, b.input("target", 3)), q)
		}},
		{Name: "dueling_dqn", Build: func() *Model {
			b := start()
			h := body(b)
			v, a := b.linear("value", h, 1), b.linear("advantage", h, 3)
			centred := must(gorgonia.BroadcastSub(a, reshape(mean(a, 1), 3, 1), nil, []byte{1}))
			return b.end(must(gorgonia.BroadcastAdd(centred, v, nil, []byte{1})))
		}},
		{Name: "actor_critic", Wrong: "Reshape shares memory with an output", Build: func() *Model {
			b := start()
			h := body(b)
			logp, v := must(gorgonia.LogSoftMax(b.linear("policy", h, 3))), b.linear("value", h, 1)
			gain := b.input("gain", 3)
			chosen := sum(had(logp, b.oneHot("action", 3, 3)), 1)
			cost := add(must(gorgonia.Neg(mean(had(chosen, gain)))), mse(reshape(v, 3), b.input("return", 3)))
			return b.with(cost, logp, v)
		}},
		{Name: "ppo", Wrong: "Reshape shares memory with an output", Build: func() *Model {
			b := start()
			h := body(b)
			logits, v := b.linear("policy", h, 3), b.linear("value", h, 1)
			p := sum(had(softmax(logits), b.oneHot("action", 3, 3)), 1)
			ratio := must(gorgonia.HadamardDiv(p, add(must(gorgonia.Abs(b.input("old", 3))), k(0.1))))
			over := relu(sub(ratio, k(1.2)))
			under := relu(sub(k(0.8), ratio))
			clipped := add(sub(ratio, over), under)
			gain := b.input("gain", 3)
			surrogate := must(gorgonia.MinBetween(had(ratio, gain), had(clipped, gain)))
			cost := add(must(gorgonia.Neg(mean(surrogate))), mse(reshape(v, 3), b.input("return", 3)))
			return b.with(cost, logits, v)
		}},
		{Name: "policy_gradient", Build: func() *Model {
			b := start()
			p := softmax(b.linear("policy", body(b), 3))
			taken := sum(had(p, b.oneHot("action", 3, 3)), 1)
			return b.with(must(gorgonia.Neg(mean(had(must(gorgonia.Log(add(taken, k(1e-3)))), b.input("gain", 3))))), p)
		}},
		{Name: "ddpg", Build: func() *Model {
			b := start()
			state := b.input("state", 3, 4)
			action := tanh(b.linear("actor2", relu(b.linear("actor1", state, 5)), 2))
			q := b.linear("critic2", relu(b.linear("critic1", concat(1, state, action), 5)), 1)
			return b.with(must(gorgonia.Neg(mean(q))), action, q)
		}},
		{Name: "agogo", Build: func() *Model {
			// A board with a policy and a value.
			b := start()
			h := relu(b.norm("bn0", b.conv("c0", b.input("board", 2, 2, 3, 3), 3, 3, 1, 1)))
			h = relu(add(b.norm("bn1", b.conv("c1", h, 3, 3, 1, 1)), h))
			policy := softmax(b.linear("policy", flat(relu(b.conv("p", h, 2, 1, 0, 1))), 9))
			value := tanh(b.linear("value", flat(relu(b.conv("v", h, 1, 1, 0, 1))), 1))
			return b.end(policy, value)
		}},
	}
}

import { Registry, register } from 'prom-client'
import type { Handler } from './exchange.ts'
import { statusIfAny } from './exchange.ts'
import { registerMeasures } from './metrics.ts'
import { contentReply, healthReply, uncached } from './reply.ts'

/** `GET /metrics`, in Prometheus' text format; what the process itself registered comes last. */
export const getMetrics: Handler = async api => {
  const registry = new Registry()
  registerMeasures(registry, api)
  const text = `${await registry.metrics()}\n${await register.metrics()}`
  const status = statusIfAny(api)
  if (status === null) return healthReply(text.trimEnd(), true, null)
  return uncached(contentReply({ type: 'text/plain; version=0.0.4; charset=utf-8', text }, status))
}

// The suite's own origin server, at a free port of loopback.
import http from 'node:http'
import { once } from 'node:events'

import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'

import { COOKIES } from './suite.mjs'

const handlers = { config: handleConfig, state: handleState, test: handleTest }

export async function startOrigin () {
  const server = http.createServer((request, response) => {
    const path = request.url.split('?')[0]
    const [, kind, ...rest] = (path.startsWith(COOKIES) ? path.slice(COOKIES.length) : path).split('/')
    const handler = handlers[kind]
    if (handler) return handler(rest, request, response)
    response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = () => {
    server.close()
    server.closeAllConnections()
  }
  return { port: server.address().port, stop }
}
